// The pages are whole without this. With it: a page updates itself when something changed, a slider moves, a choice submits.
"use strict";
(() => {
  const status = document.querySelector("p.status");

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
      select.addEventListener("change", () => { range.value = select.selectedIndex; });
      tell();
      select.parentElement.after(range);
    }
  };
  // Only what is wider than its place is a stop for the keyboard.
  const scrolls = (root) => {
    for (const one of root.querySelectorAll(".scroll[tabindex]")) {
      if (one.scrollWidth <= one.clientWidth) one.removeAttribute("tabindex");
    }
  };
  slide(document);
  scrolls(document);
  document.addEventListener("keydown", (event) => {
    const open = event.key === "Escape" && document.activeElement.closest("details[open]");
    if (!open) return;
    open.open = false;
    open.querySelector("summary").focus();
  });

  const main = document.querySelector("main[data-live]");
  if (!main || !window.EventSource) return;
  const busy = () => main.querySelector("details[open]") || (main.contains(document.activeElement) && document.activeElement.matches("input, select, textarea"));
  let waiting = false;
  const name = (one) => one.getAttribute("aria-label") || one.textContent.trim();
  const refresh = async () => {
    if (busy() || document.hidden) { waiting = true; return; }
    waiting = false;
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    if (!answer.ok || answer.redirected) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("main");
    if (!fresh || fresh.innerHTML === main.dataset.seen) return;
    main.dataset.seen = fresh.innerHTML;
    const had = main.contains(document.activeElement) && document.activeElement !== main ? document.activeElement : null;
    main.replaceChildren(...fresh.childNodes);
    slide(main);
    scrolls(main);
    status.textContent = status.dataset.said;
    if (had) ([...main.querySelectorAll(had.tagName)].find((one) => name(one) === name(had)) || main).focus();
  };
  const source = new EventSource(main.dataset.live);
  source.addEventListener("changed", refresh);
  main.addEventListener("toggle", (event) => { if (!event.target.open && waiting) refresh(); }, true);
  document.addEventListener("visibilitychange", () => { if (!document.hidden && waiting) refresh(); });
  window.addEventListener("pagehide", () => source.close());
})();
