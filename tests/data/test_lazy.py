"""Large images: the same pixels as a small one has, a block at a time."""

import gc
import hashlib
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

from limsup_widgets.data import lazy
from limsup_widgets.data.formats import tiff_lazy
from limsup_widgets.data.image import Image
from limsup_widgets.data.lazy import LazyArray
from limsup_widgets.data.readers import image_name, read_image
from limsup_widgets.errors import LimsupError

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (150, 230, 3)).astype(np.uint8)
GREY = RGB[..., 0]
DEEP = GREY.astype(np.uint16) * 100
UNIT = (GREY / 255).astype(np.float32)
BOX = (31, 7, 120, 201)


def write_pyramid(path, pixels, **options):
    """The levels of a pyramid in sub-IFDs, as OME-TIFF has them."""
    options = {"tile": (32, 48), "compression": "zlib", **options}
    with tifffile.TiffWriter(path, bigtiff=True) as out:
        out.write(pixels, subifds=2, **options)
        out.write(np.ascontiguousarray(pixels[::2, ::2]), subfiletype=1, **options)
        out.write(np.ascontiguousarray(pixels[::4, ::4]), subfiletype=1, **options)


def write_slide(path):
    """As scanners of Aperio do: level after level in the file, a thumbnail between them."""
    text = "Aperio Image Library v11\r\n230x150 [0,0 230x150] (64x64) |AppMag = 20"
    options = {"photometric": "rgb", "metadata": None, "description": text}
    with tifffile.TiffWriter(path) as out:
        out.write(RGB, tile=(64, 64), **options)
        out.write(np.ascontiguousarray(RGB[::8, ::8]), rowsperstrip=8, **options)
        out.write(np.ascontiguousarray(RGB[::4, ::4]), tile=(64, 64), **options)


def writer(pixels, **options):
    return lambda path: tifffile.imwrite(path, pixels, **options)


TILED = {"tile": (32, 48), "compression": "zlib"}
FILES = {
    "pyramid.tif": lambda path: write_pyramid(path, RGB, photometric="rgb"),
    "pyramid.ome.tif": lambda path: write_pyramid(path, RGB, photometric="rgb"),
    "pyramid16.btf": lambda path: write_pyramid(path, DEEP),
    "slide.svs": write_slide,
    "grey.tif": writer(GREY, **TILED),
    "strips.tiff": writer(RGB, rowsperstrip=16, compression="zlib", photometric="rgb"),
    "contiguous.tif": writer(RGB, photometric="rgb"),
    "planar.tif": writer(
        np.moveaxis(RGB, -1, 0), photometric="rgb", planarconfig="separate", tile=(32, 48)
    ),
    "alpha.tif": writer(
        np.dstack([RGB, GREY]), photometric="rgb", extrasamples=["unassalpha"], **TILED
    ),
    "negative.tif": writer(GREY, photometric="miniswhite", **TILED),
    "bool.tif": writer(GREY > 128, tile=(32, 48)),
    "big-endian.tif": writer(DEEP, byteorder=">", tile=(32, 48)),
    "big-endian-contiguous.tif": writer(DEEP, byteorder=">"),
    "unit.tif": writer(UNIT, **TILED),
    "palette.tif": lambda path: Pillow.fromarray(GREY).convert("P").save(path),
}


@pytest.mark.parametrize("name", FILES)
def test_equivalence_with_the_eager_reader(tmp_path, name):
    FILES[name](tmp_path / name)
    small, large = read_image(tmp_path / name), read_image(tmp_path / name, lazy_from=1000)
    assert large.is_lazy and not small.is_lazy
    assert (large.axes, large.shape, large.channels) == (small.axes, small.shape, small.channels)
    assert large.array.dtype == small.array.dtype and large.name == small.name
    np.testing.assert_allclose(large.read(BOX), small.read(BOX), atol=1e-6)
    np.testing.assert_array_equal(large.array[:], np.asarray(large.array))
    assert large.notes[: len(small.notes)] == tuple(
        note.replace("0.5 to 99.5)", "0.5 to 99.5 of blocks all over the image)")
        for note in small.notes
    )
    assert "read where they are looked at" in large.notes[-1]


def test_values_of_the_file_s_own_levels(tmp_path):
    write_pyramid(tmp_path / "a.tif", RGB, photometric="rgb")
    fine, half, quarter = read_image(tmp_path / "a.tif", lazy_from=1000).levels
    assert (fine.shape, half.shape, quarter.shape) == (RGB.shape, (75, 115, 3), (38, 58, 3))
    assert np.array_equal(half[10:20, 5:], RGB[::2, ::2][10:20, 5:])
    write_slide(tmp_path / "a.svs")
    image = read_image(tmp_path / "a.svs", lazy_from=1000)
    assert [level.shape for level in image.levels] == [RGB.shape, (38, 58, 3)]
    assert np.array_equal(image.levels[1][:], RGB[::4, ::4])
    assert image.notes[0] == "first of several images in the file"


@pytest.mark.parametrize("name", ["pyramid.tif", "strips.tiff", "contiguous.tif"])
def test_equivalence_read_by_several_threads(tmp_path, name):
    """The viewer reads in one thread while a network reads in another."""
    FILES[name](tmp_path / name)
    image = read_image(tmp_path / name, lazy_from=1000)
    boxes = [(y, x, y + 40, x + 50) for y in range(0, 110, 9) for x in range(0, 180, 13)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(image.read, boxes))
    for (top, left, bottom, right), pixels in zip(boxes, found, strict=True):
        assert np.array_equal(pixels, RGB[top:bottom, left:right])


def test_values_a_file_without_levels_says_what_that_costs(tmp_path, monkeypatch):
    monkeypatch.setattr(tiff_lazy, "COARSEST", 60)
    FILES["grey.tif"](tmp_path / "a.tif")
    assert "no small copy" in read_image(tmp_path / "a.tif", lazy_from=1000).notes[0]
    write_pyramid(tmp_path / "b.tif", GREY)
    assert len(read_image(tmp_path / "b.tif", lazy_from=1000).notes) == 1


def test_values_threshold_and_what_stays_eager(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", GREY, tile=(32, 48))
    tifffile.imwrite(tmp_path / "stack.tif", np.stack([GREY] * 5), photometric="minisblack")
    Pillow.fromarray(GREY).save(tmp_path / "a.png")
    assert not read_image(tmp_path / "a.tif").is_lazy
    assert read_image(tmp_path / "a.tif", lazy_from=GREY.size).is_lazy
    assert not read_image(tmp_path / "a.tif", lazy_from=GREY.size + 1).is_lazy
    assert read_image(tmp_path / "stack.tif", lazy_from=1).axes == "ZYX"
    assert not read_image(tmp_path / "a.png", lazy_from=1).is_lazy
    assert image_name(Path("x/slide.ome.tif")) == "slide"


def counted(pixels, reads, **options):
    def read(rows, columns):
        reads.append((rows, columns))
        return pixels[rows, columns]

    return LazyArray("counted", pixels.shape, pixels.dtype, read, **options)


SLICES = st.one_of(
    st.integers(-7, 6),
    st.builds(
        slice,
        st.none() | st.integers(-30, 30),
        st.none() | st.integers(-30, 30),
        st.none() | st.integers(-9, 9).filter(bool),
    ),
)


@given(st.tuples(SLICES, SLICES) | st.tuples(SLICES, SLICES, st.integers(-3, 2)), st.booleans())
def test_equivalence_indexing_is_numpy(key, keep):
    pixels = RGB[:7, :20]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lazy, "BLOCK", 6)
        found = counted(pixels, [], keep=keep)[key]
    assert np.array_equal(found, pixels[key]) and found.shape == pixels[key].shape


def test_equivalence_indexing_short_forms():
    array = counted(RGB, [])
    for key in (3, ..., (..., 1), (slice(2, 4), ...), (np.int64(2), 5), slice(0, 0)):
        assert np.array_equal(array[key], RGB[key])
    assert len(array) == 150 and array.size == RGB.size and array.nbytes == RGB.nbytes
    assert np.asarray(array, dtype=np.float64).dtype == np.float64


def test_values_reads_what_was_asked_for_alone():
    reads = []
    image = Image.lazy(counted(RGB, reads))
    reads.clear()
    image.read(BOX)
    assert reads == [(slice(31, 120), slice(7, 201))]


def test_values_levels_on_the_fly(monkeypatch):
    monkeypatch.setattr(lazy, "COARSEST", 60)
    monkeypatch.setattr(lazy, "BLOCK", 64)
    reads = []
    image = Image.lazy(counted(RGB, reads))
    reads.clear()
    assert [level.shape[:2] for level in image.levels] == [(150, 230), (75, 115), (38, 58)]
    assert all(
        np.array_equal(level[3:30, ::3], RGB[::s, ::s][3:30, ::3])
        for level, s in zip(image.levels, (1, 2, 4), strict=True)
    )
    assert all(r.stop - r.start <= 64 and c.stop - c.start <= 64 for r, c in reads)
    reads.clear()
    assert np.array_equal(image.levels[-1][:], RGB[::4, ::4]) and not reads, "it was kept"


@pytest.mark.parametrize(("chunk", "count"), [((7, 230), 8), ((32, 48), 9)])
def test_values_no_chunk_is_read_twice(monkeypatch, chunk, count):
    monkeypatch.setattr(lazy, "BLOCK", 64)
    reads = []
    array = counted(RGB, reads, chunk=chunk)
    assert np.array_equal(array[::3, ::5], RGB[::3, ::5])
    assert len(reads) == count
    touched = np.zeros((150 // chunk[0] + 1, 230 // chunk[1] + 1), int)
    for rows, columns in reads:
        ends = (rows.stop - 1) // chunk[0] + 1, (columns.stop - 1) // chunk[1] + 1
        touched[rows.start // chunk[0] : ends[0], columns.start // chunk[1] : ends[1]] += 1
    assert touched.max() == 1


def test_values_overview():
    plain = Image.from_array(RGB)
    assert plain.overview() is plain.array or np.array_equal(plain.overview(), RGB)
    assert plain.overview(pixels=9000).shape == (75, 115, 3)
    large = Image.lazy(RGB, levels=[RGB[::3, ::3]])
    assert np.array_equal(large.overview(pixels=9000), RGB[::3, ::3])
    assert np.array_equal(large.overview(pixels=1000), RGB[::3, ::3][::2, ::2])


def test_values_sample():
    assert np.array_equal(Image.from_array(RGB).sample(), RGB)
    big = np.broadcast_to(np.arange(40_000, dtype=np.uint16)[:, None], (40_000, 30_000))
    seen = lazy.sample(LazyArray("big", big.shape, big.dtype, lambda r, c: big[r, c]))
    assert seen.shape == (64 * 128, 128)
    assert seen.min() == 0 and seen.max() == 39_999 and abs(seen.mean() - 20_000) < 100


def test_values_window_of_a_sample():
    ramp = np.broadcast_to(np.arange(40_000, dtype=np.uint16)[:, None], (40_000, 30_000))
    image = Image.lazy(ramp, name="ramp")
    assert image.array.dtype == np.float32 and image.notes[0].startswith("uint16 scaled: ")
    low, middle, high = image.read((0, 0, 40_000, 1))[[0, 20_000, -1], 0]
    assert (low, high) == (0, 1) and abs(middle - 0.5) < 0.01
    unit = Image.lazy(UNIT)
    assert unit.notes == () and np.array_equal(unit.array[:], UNIT)
    flat = Image.lazy(np.full((20, 20), 7.0))
    assert not flat.array[:].any()


def test_equivalence_sources():
    import dask.array
    import zarr

    chunks = zarr.create_array(store={}, data=RGB, chunks=(32, 48, 3))
    for source in (RGB, chunks, dask.array.from_array(RGB, chunks=50)):
        image = Image.lazy(source, name="made")
        assert np.array_equal(image.read(BOX), RGB[31:120, 7:201])
        assert image.sha256 == Image.lazy(RGB).sha256 and image.sha256.startswith("sampled-")
        assert image.planes() == [image]
    assert image.sha256 != Image.lazy(RGB[::-1]).sha256


def test_values_fingerprint(tmp_path):
    path = tmp_path / "a.tif"
    write_pyramid(path, RGB, photometric="rgb")
    one, two = (read_image(path, lazy_from=1).sha256 for _ in range(2))
    assert one == two and one.startswith("sampled-") and len(one) == 8 + 64
    assert hashlib.sha256(path.read_bytes()).hexdigest() not in one
    changed = RGB.copy()
    changed[70, 110] = 0
    write_pyramid(path, changed, photometric="rgb")
    assert read_image(path, lazy_from=1).sha256 != one


def test_values_fingerprint_of_a_large_file(tmp_path):
    path, size = tmp_path / "a.bin", 2**27
    with path.open("wb") as out:
        out.truncate(size)
    found = [tiff_lazy.fingerprint(path), tiff_lazy.fingerprint(path)]
    assert found[0] == found.pop()
    for place in (0, size - 1, size):
        with path.open("r+b") as out:
            out.seek(place)
            out.write(b"x")
        found.append(tiff_lazy.fingerprint(path))
    assert len(set(found)) == 4


def test_values_file_is_closed_with_the_last_level(tmp_path):
    write_pyramid(tmp_path / "a.tif", RGB, photometric="rgb")
    image = read_image(tmp_path / "a.tif", lazy_from=1000)
    coarse = image.levels[-1]
    handle = coarse._read.__self__.page.parent.filehandle
    del image
    gc.collect()
    assert not handle.closed and np.array_equal(coarse[:], RGB[::4, ::4])
    del coarse
    gc.collect()
    assert handle.closed


@pytest.mark.parametrize(
    "box", [(0, 0, 151, 9), (0, 0, 9, 231), (-1, 0, 9, 9), (5, 0, 5, 9), (0, 9, 9, 8)]
)
@pytest.mark.parametrize("make", [Image.lazy, Image.from_array])
def test_errors_bounds(make, box):
    with pytest.raises(LimsupError, match=r"box in made: got .* expected pixels of \(150, 230\)"):
        make(RGB, name="made").read(box)


def test_errors_volume():
    volume = Image.from_array(np.stack([GREY] * 5))
    for call in (volume.overview, lambda: volume.read((0, 0, 1, 1))):
        with pytest.raises(LimsupError, match="use planes"):
            call()


def test_errors_too_much_at_once():
    image = Image.lazy(np.broadcast_to(np.uint8(7), (20_000, 20_000, 3)), name="slide")
    for take in (np.asarray, lambda a: a[:]):
        with pytest.raises(LimsupError, match=r"slide: got 1144 MiB asked .* image.overview\(\)"):
            take(image.array)
    assert image.array[::20, ::20].shape == (1000, 1000, 3)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (np.zeros((3, 4, 5, 2), np.uint8), r"shape \(3, 4, 5, 2\)"),
        (np.zeros((0, 4), np.uint8), "shape"),
        (np.zeros((4, 4), complex), "complex"),
        ([[1, 2]], "list without shape and dtype"),
        (np.full((9, 9), np.nan), "NaN"),
    ],
)
def test_errors_sources(source, says):
    with pytest.raises(LimsupError, match=f"made: got .*{says}"):
        Image.lazy(source, name="made")


def test_errors_levels():
    for levels in ([RGB], [RGB[::4, ::4], RGB[::2, ::2]], [GREY[::2, ::2]]):
        with pytest.raises(LimsupError, match="levels of made"):
            Image.lazy(RGB, levels, name="made")


def test_errors_nan_is_found_when_it_is_read():
    pixels = np.random.default_rng(0).random((2000, 2000))
    pixels[200, 200] = np.nan
    image = Image.lazy(pixels, name="made")
    assert image.read((0, 0, 200, 200)).max() <= 1
    with pytest.raises(LimsupError, match="made: got pixels NaN"):
        image.read((200, 200, 201, 201))


def test_errors_indices():
    with pytest.raises(LimsupError, match="index into counted: got list"):
        counted(RGB, [])[[1, 2]]
    with pytest.raises(LimsupError, match="got 4 indices"):
        counted(RGB, [])[1, 2, 0, 0]
    with pytest.raises(IndexError, match="150"):
        counted(RGB, [])[150]


@pytest.mark.parametrize("name", ["pyramid.tif", "slide.svs", "strips.tiff", "contiguous.tif"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.99])
def test_errors_cut_short(tmp_path, name, share):
    path = tmp_path / name
    FILES[name](path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(LimsupError, match=str(path)):
        read_image(path, lazy_from=1000)


def test_errors_damaged_tile_names_the_file(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, GREY, **TILED)
    with tifffile.TiffFile(path) as file:
        place = file.pages[0].dataoffsets[7] + 20
    content = bytearray(path.read_bytes())
    content[place : place + 40] = bytes(40)
    path.write_bytes(content)
    image = read_image(path, lazy_from=1000)
    assert np.array_equal(image.read((0, 0, 20, 20)), GREY[:20, :20])
    with pytest.raises(LimsupError, match=f"{path}: got no complete TIFF file"):
        image.array[:]


def test_errors_one_strip(tmp_path, monkeypatch):
    monkeypatch.setattr(tiff_lazy, "CHUNK_BYTES", 30_000)
    tifffile.imwrite(tmp_path / "a.tif", GREY, compression="zlib", rowsperstrip=150)
    with pytest.raises(LimsupError, match=r"got a strip of .*tile=\(512, 512\)"):
        read_image(tmp_path / "a.tif", lazy_from=1000)


@pytest.mark.parametrize("lazy_from", [1000, 10**9], ids=["lazy", "whole"])
def test_values_a_slide_of_jpeg_tiles(tmp_path, lazy_from):
    y, x = np.mgrid[:256, :384]
    smooth = np.stack([x / 2, y / 2, (x + y) / 3], -1).astype(np.uint8)
    how = {"compression": "jpeg", "compressionargs": {"level": 95}, "tile": (64, 64)}
    tifffile.imwrite(tmp_path / "a.tif", smooth, photometric="rgb", **how)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert tiff.pages[0].photometric == tifffile.PHOTOMETRIC.YCBCR
    image = read_image(tmp_path / "a.tif", lazy_from=lazy_from)
    assert image.is_lazy == (lazy_from == 1000)
    found = image.read((100, 50, 200, 250)).astype(int)
    assert np.abs(found - smooth[100:200, 50:250]).max() < 10


GIANT = """
    import sys, zlib
    from pathlib import Path
    import numpy as np, tifffile
    from limsup_widgets.data.image import Image
    from limsup_widgets.data.readers import read_image

    class Ramp:
        shape, dtype = (20_000, 20_000, 3), np.dtype(np.uint8)
        def __getitem__(self, key):
            rows, columns = np.ogrid[key[0], key[1]]
            ramp = rows.astype(np.uint8) + columns.astype(np.uint8)
            return np.stack([ramp, ramp // 2, ramp // 4], -1)

    path = Path(sys.argv[1])
    tile = np.random.default_rng(0).integers(0, 4, (496, 496, 3)).astype(np.uint8)
    packed = zlib.compress(tile.tobytes())
    tifffile.imwrite(path, (packed for _ in range(41 * 41)), shape=(20_000, 20_000, 3),
                     dtype="u1", tile=tile.shape[:2], compression="zlib", photometric="rgb")
    made, file = Image.lazy(Ramp(), name="ramp"), read_image(path)
    assert file.is_lazy and file.shape == made.shape == (20_000, 20_000)
    view = made.read((9_000, 9_000, 11_000, 11_000))
    assert view[3, 5].tolist() == [88, 44, 22], "(9003 + 9005) modulo 256"
    assert np.array_equal(file.read((496, 992, 992, 1488)), tile)
    assert file.overview().shape == made.overview().shape == (1250, 1250, 3)
    line = next(l for l in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in l)
    print(int(line.split()[1]) // 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc")
def test_values_giant_image_in_little_memory(tmp_path):
    """20,000 × 20,000 × 3, made on the fly and as a file: viewport and overview of both."""
    command = [sys.executable, "-c", textwrap.dedent(GIANT), str(tmp_path / "giant.tif")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 600, "MiB"
