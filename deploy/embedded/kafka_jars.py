"""The jar files of Apache Kafka, from Maven, each held against the checksum in kafka.lock.json.

`python -m deploy.embedded.kafka_jars` writes the lock anew (after a change of version): jgo resolves what Kafka needs. Nobody else
resolves anything: with the lock at hand the jars are fetched by their coordinates, from the repository that Maven's own
settings name on this machine, or else from Maven Central.
"""

import hashlib
import json
import os
import ssl
import sys
import tempfile
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from deploy.embedded.server_process import EmbeddedServerError, one_at_a_time, require_room, write_whole

KAFKA = "4.4.0"
WANTED = (f"org.apache.kafka:kafka_2.13:{KAFKA}", "org.slf4j:slf4j-simple:1.7.36")
LOCK = Path(__file__).with_name("kafka.lock.json")
TRIES = 4
AT_ONCE = 6


@dataclass(frozen=True)
class LockedJar:
    file: str
    coordinates: str
    sha256: str

    @property
    def path_in_repository(self) -> str:
        group, artifact, version = self.coordinates.split(":")
        return f"{group.replace('.', '/')}/{artifact}/{version}/{self.file}"


def read_lock(lock: Path = LOCK) -> list[LockedJar]:
    return [LockedJar(**entry) for entry in json.loads(lock.read_text(encoding="utf-8"))["jars"]]


def lock_digest(lock: Path = LOCK) -> str:
    return hashlib.sha256(lock.read_bytes()).hexdigest()


def ensure_jars(cache: Path, lock: Path = LOCK) -> list[Path]:
    """The jars in the cache, fetched if they are not there; every one has the checksum of the lock."""
    jars, folder = read_lock(lock), cache / "jars"
    require_room(folder)
    with one_at_a_time(cache / "jars.lock"):
        missing = [jar for jar in jars if not (folder / jar.file).exists()]
        if missing:
            repositories, trust = _repositories(), _trust()
            with ThreadPoolExecutor(AT_ONCE) as pool:
                list(pool.map(lambda jar: _bring(jar, folder, repositories, trust), missing))
        for jar in jars:
            path = folder / jar.file
            if _sha256(path) != jar.sha256:
                raise EmbeddedServerError(
                    f"{path} is not the {jar.coordinates} that was locked: its checksum is {_sha256(path)}, expected {jar.sha256}. "
                    "Delete the file to fetch it again; if that does not help, do not trust the repository it comes from."
                )
    return [folder / jar.file for jar in jars]


def _bring(jar: LockedJar, folder: Path, repositories: list[str], trust: ssl.SSLContext) -> None:
    known = _local_repository() / jar.path_in_repository
    if known.exists() and _sha256(known) == jar.sha256:
        _put(known.read_bytes(), folder / jar.file)
        return
    reasons: list[str] = []
    for attempt in range(TRIES):
        if attempt:
            time.sleep(2.0**attempt / 2)
        for repository in repositories:
            try:
                with urllib.request.urlopen(
                    f"{repository.rstrip('/')}/{jar.path_in_repository}", timeout=60, context=trust
                ) as answer:
                    content: bytes = answer.read()
            except (OSError, urllib.error.URLError) as error:
                reasons.append(str(error))
                continue
            if (found := hashlib.sha256(content).hexdigest()) != jar.sha256:
                reasons.append(f"it came with checksum {found}, expected {jar.sha256}")
                continue
            _put(content, folder / jar.file)
            return
    raise EmbeddedServerError(
        f"{jar.file} ({jar.coordinates}) could not be fetched from Maven: {reasons[-1]}. Is the network there? "
        "Behind a proxy set https_proxy, with a repository of your own name it in ~/.m2/settings.xml (a mirror of central)."
    )


def _put(content: bytes, path: Path) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as aside:
        aside.write(content)
        aside.flush()
        os.fsync(aside.fileno())
    os.chmod(aside.name, 0o644)
    os.replace(aside.name, path)


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _local_repository() -> Path:
    return Path(os.environ.get("M2_REPO") or Path.home() / ".m2" / "repository")


def _repositories() -> list[str]:
    """A mirror of central in Maven's settings is meant to be asked in its stead; without one, Maven Central."""
    try:
        root = ET.parse(Path.home() / ".m2" / "settings.xml").getroot()
    except (OSError, ET.ParseError):
        root = ET.Element("settings")
    mirrors: list[str] = []
    for mirror in root.iterfind(".//{*}mirror"):
        of = {name.strip() for name in (mirror.findtext("{*}mirrorOf") or "").split(",")}
        url = (mirror.findtext("{*}url") or "").strip()
        if url.startswith(("http://", "https://")) and of & {"*", "external:*", "central"} and "!central" not in of:
            mirrors.append(url)
    if mirrors:
        return mirrors[:1]
    from jgo.constants import MAVEN_CENTRAL_URL

    return [MAVEN_CENTRAL_URL]


def _trust() -> ssl.SSLContext:
    """The system's certificates, and those named by the variables that curl, pip and requests know."""
    context = ssl.create_default_context()
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT"):
        bundle = os.environ.get(name)
        if bundle and Path(bundle).is_file():
            context.load_verify_locations(bundle)
    return context


def write_lock(lock: Path = LOCK) -> list[LockedJar]:
    """Resolve with jgo, in a fresh repository: neither a warm ~/.m2 nor its environment builder, which would fetch a whole JDK
    to sort jars into modules.
    """
    from jgo.maven import MavenContext

    with tempfile.TemporaryDirectory() as fresh:
        context = MavenContext(repo_cache=Path(fresh), remote_repos={"central": _repositories()[0]}, timeout=60)
        wanted = [context.create_dependency(coordinates) for coordinates in WANTED]
        inputs, needed = context.resolver.resolve(wanted)
        jars: dict[str, LockedJar] = {}
        for dependency in [*inputs, *needed]:
            if dependency.scope not in (None, "compile", "runtime"):
                continue
            found = dependency.artifact
            path = found.resolve()
            jars[path.name] = LockedJar(path.name, f"{found.groupId}:{found.artifactId}:{found.version}", _sha256(path))
    ordered = sorted(jars.values(), key=lambda jar: jar.file)
    write_whole(lock, json.dumps({"wanted": WANTED, "jars": [asdict(jar) for jar in ordered]}, indent=1) + "\n")
    return ordered


if __name__ == "__main__":
    sys.stderr.write(f"{len(write_lock())} jars locked in {LOCK}\n")
