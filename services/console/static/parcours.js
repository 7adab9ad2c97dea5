// The pages are whole without this. With it: a page updates itself when something changed, a slider moves, a choice submits.
"use strict";
(() => {
  const status = document.querySelector("[role=status]");

  for (const one of document.querySelectorAll("[data-submits]")) one.addEventListener("change", () => one.form.requestSubmit());
  for (const one of document.querySelectorAll("[data-hidden-with-script]")) one.hidden = true;

  const slide = (root) => {
    for (const select of root.querySelectorAll("select[data-slider]")) {
      const range = document.createElement("input");
      range.type = "range";
      range.min = 0;
      range.max = select.options.length - 1;
      range.value = select.selectedIndex;
      range.setAttribute("aria-label", select.parentElement.firstChild.textContent.trim());
      const tell = () => range.setAttribute("aria-valuetext", select.options[range.value].text);
      range.addEventListener("input", () => { select.selectedIndex = range.value; tell(); });
      range.addEventListener("change", () => select.form.requestSubmit());
      select.addEventListener("change", () => { range.value = select.selectedIndex; });
      tell();
      select.parentElement.after(range);
    }
  };
  slide(document);

  const main = document.querySelector("main[data-live]");
  if (!main || !window.EventSource) return;
  const busy = () => main.querySelector("details[open]") || (main.contains(document.activeElement) && document.activeElement.matches("input, select, textarea"));
  let waiting = false;
  const refresh = async () => {
    if (busy() || document.hidden) { waiting = true; return; }
    waiting = false;
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    if (!answer.ok || answer.redirected) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("main");
    if (!fresh || fresh.innerHTML === main.dataset.seen) return;
    main.dataset.seen = fresh.innerHTML;
    main.replaceChildren(...fresh.childNodes);
    slide(main);
    status.textContent = status.dataset.said;
  };
  const source = new EventSource(main.dataset.live);
  source.addEventListener("changed", refresh);
  document.addEventListener("visibilitychange", () => { if (!document.hidden && waiting) refresh(); });
  window.addEventListener("pagehide", () => source.close());
})();
