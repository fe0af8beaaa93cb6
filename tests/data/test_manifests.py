"""Manifests and the cache: what is stated is checked, what fails is kept nowhere."""

import hashlib
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import tomli_w
from PIL import Image as Pillow

from limsup_widgets.data.manifest import Manifest, load_manifests
from limsup_widgets.data.manifests import State, fetch, load, local_path, verify
from limsup_widgets.errors import LimsupError


class Silent(SimpleHTTPRequestHandler):
    """A server of files that does not write to stderr."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(tmp_path):
    """Address of a server of tmp_path/public, which holds one picture."""
    public = tmp_path / "public"
    public.mkdir()
    Pillow.fromarray(np.arange(48, dtype=np.uint8).reshape(6, 8)).save(public / "a.png")
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(public)))
    threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{httpd.server_port}", public / "a.png"
    httpd.shutdown()
    httpd.server_close()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder."""
    monkeypatch.setenv("LIMSUP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def fields(**changes):
    return {
        "name": "toy",
        "title": "A toy",
        "url": "https://example.org/a.png",
        "checksum": "sha256:" + "0" * 64,
        "bytes": 100,
        "licence": "CC0",
        "terms": "none",
        "citation": "nobody",
        **changes,
    }


def write(folder, **changes):
    folder.mkdir(exist_ok=True)
    stated = {key: value for key, value in fields(**changes).items() if value is not None}
    (folder / f"{stated.get('name', 'toy')}.toml").write_text(tomli_w.dumps(stated))
    return folder


def sha256(path):
    return "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()


def files_in(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def test_values_shipped_sets_need_no_download_and_are_what_they_say():
    shipped = load_manifests()
    assert {"ihc", "retina", "cell", "microaneurysms", "mni152", "dicom-ct"} <= set(shipped)
    for name, manifest in shipped.items():
        assert manifest.embedded
        if verify(name) == State.NOT_INSTALLED:
            continue
        assert verify(name) == State.OK
        assert local_path(manifest).stat().st_size == manifest.bytes
        assert fetch(name) == local_path(manifest)
    assert load("ihc").array.shape == (512, 512, 3)


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_roundtrip_download(server, cache, tmp_path, algorithm):
    url, original = server
    digest = hashlib.new(algorithm, original.read_bytes()).hexdigest()
    folder = write(tmp_path / "m", url=f"{url}/a.png", checksum=f"{algorithm}:{digest}")
    assert verify("toy", folder) == State.MISSING
    path = fetch("toy", folder, progress=False)
    assert path.read_bytes() == original.read_bytes()
    assert path.is_relative_to(cache)
    assert verify("toy", folder) == State.OK
    original.unlink()
    assert load("toy", folder).array.shape == (6, 8)


def test_values_damaged_file_is_fetched_again(server, cache, tmp_path):
    url, original = server
    folder = write(tmp_path / "m", url=f"{url}/a.png", checksum=sha256(original))
    path = fetch("toy", folder, progress=False)
    path.write_bytes(b"broken")
    assert verify("toy", folder) == State.DAMAGED
    assert fetch("toy", folder, progress=False).read_bytes() == original.read_bytes()


def test_values_unverified_says_so(server, cache, tmp_path):
    url, _ = server
    folder = write(tmp_path / "m", url=f"{url}/a.png", checksum="unverified")
    fetch("toy", folder, progress=False)
    assert verify("toy", folder) == State.UNVERIFIED


def test_values_progress_is_shown(server, cache, tmp_path, capfd):
    url, original = server
    fetch("toy", write(tmp_path / "m", url=f"{url}/a.png", checksum=sha256(original)))
    assert "100%" in capfd.readouterr().err


def test_errors_wrong_checksum_keeps_nothing(server, cache, tmp_path):
    url, _ = server
    folder = write(tmp_path / "m", url=f"{url}/a.png")
    with pytest.raises(LimsupError, match=r"data set toy: .*nothing was kept"):
        fetch("toy", folder, progress=False)
    assert files_in(cache) == []


@pytest.mark.parametrize("path", ["/none.png", ":1/a.png"])
def test_errors_no_download(server, cache, tmp_path, path):
    url, _ = server
    base = url.rsplit(":", 1)[0] if path.startswith(":") else url
    folder = write(tmp_path / "m", url=base + path)
    with pytest.raises(LimsupError, match=r"data set toy: got no download from http"):
        fetch("toy", folder, progress=False)
    assert files_in(cache) == []


def test_errors_space_package_name_and_loader(server, cache, tmp_path):
    write(tmp_path / "m", name="huge", bytes=10**18)
    write(tmp_path / "m", name="absent", url="package:no_such_package_here/a.png")
    folder = write(tmp_path / "m", name="table", loader="file")
    with pytest.raises(LimsupError, match="MB free"):
        fetch("huge", folder)
    with pytest.raises(LimsupError, match="no_such_package_here"):
        fetch("absent", folder)
    with pytest.raises(LimsupError, match="got nothing, expected absent, huge, table"):
        fetch("nothing", folder)
    with pytest.raises(LimsupError, match="no single image"):
        load("table", folder)
    assert verify("absent", folder) == State.NOT_INSTALLED


@pytest.mark.parametrize(
    ("changes", "quoted"),
    [
        ({"checksum": "sha1:abc"}, "checksum"),
        ({"url": "ftp://example.org/a"}, "url"),
        ({"url": "https://"}, "url"),
        ({"bytes": 0}, "bytes"),
        ({"licence": None}, "licence"),
        ({"doi": "https://doi.org/10.1/a"}, "doi"),
        ({"colour": "red"}, "colour"),
        ({"verified": True}, "verified_on"),
        ({"loader": "pickle"}, "loader"),
    ],
)
def test_errors_schema(tmp_path, changes, quoted):
    folder = write(tmp_path / "m", **changes)
    with pytest.raises(LimsupError, match=rf"toy\.toml.*{quoted}"):
        load_manifests(folder)


def test_errors_files(tmp_path):
    folder = write(tmp_path / "m")
    (folder / "toy.toml").rename(folder / "other.toml")
    with pytest.raises(LimsupError, match=r"other\.toml: got name 'toy', expected other"):
        load_manifests(folder)
    (folder / "other.toml").write_text("name = ")
    with pytest.raises(LimsupError, match="no valid TOML"):
        load_manifests(folder)


def test_values_filename():
    with_query = Manifest.model_validate(fields(url="https://example.org/x/b.nii.gz?download=1"))
    assert with_query.filename == "b.nii.gz"
