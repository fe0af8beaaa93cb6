from functools import cache

import numpy as np
import pytest
import tifffile
import torch
from hypothesis import given
from hypothesis import strategies as st
from learn.toys import random_input, tiny_unet
from torch import nn

from limsup_widgets.data.label_files import read_labels
from limsup_widgets.data.readers import read_image
from limsup_widgets.data.tiled_labels import write_label_pyramid
from limsup_widgets.errors import LimsupError
from limsup_widgets.learn import tiles
from limsup_widgets.learn.halo import divisor_of
from limsup_widgets.learn.infer import codes, predict
from limsup_widgets.learn.moments import mc_moments
from limsup_widgets.learn.weights import load_u0

SHAPE = (203, 149)


def monai(name, **options):
    from monai.networks import nets

    with torch.random.fork_rng():
        torch.manual_seed(0)
        return getattr(nets, name)(spatial_dims=2, in_channels=3, out_channels=4, **options).eval()


def basic(norm, dropout=0.0):
    return monai("BasicUNet", features=(4, 4, 6, 6, 8, 4), norm=norm, dropout=dropout)


class Positions(nn.Module):
    """Local in every layer, but it is told where in its input a pixel lies."""

    divisor = 8

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 2, 3, padding=1)

    def forward(self, x):
        rows = torch.linspace(-1, 1, x.shape[2])[None, None, :, None].expand_as(x[:, :1])
        return self.conv(torch.cat([x, rows], 1))


def convolutions(count, divisor=1):
    net = nn.Sequential(*(nn.Conv2d(3, 3, 3, padding=1) for _ in range(count)))
    net.divisor = divisor
    return net.eval()


def reader(x):
    return lambda box: x[:, box[0] : box[2], box[1] : box[3]].contiguous()


def patchwork(make, shape, tile, leading=()):
    """Tiles of ``(h, w)`` put together, each pixel exactly once."""
    whole = np.full((*leading, *shape), np.nan, np.float32)
    for box in tiles.tile_plan(shape, tile=tile):
        place = whole[..., box[0] : box[2], box[1] : box[3]]
        assert np.isnan(place).all()
        place[...] = make(box)
    assert not np.isnan(whole).any()
    return whole


def difference(net, shape=SHAPE, tile=64, halo=None):
    """Largest difference between all tiles and the whole image."""
    x = random_input(shape=(3, *shape))
    halo = tiles.halo_of(net, 3) if halo is None else halo
    whole = predict(net, x)
    found = patchwork(
        lambda box: tiles.predict_box(net, reader(x), shape, box, halo),
        shape,
        tile,
        whole.shape[:1],
    )
    return np.abs(found - whole).max()


@pytest.mark.parametrize(
    ("make", "shape", "tile"),
    [
        (load_u0, SHAPE, 64),
        (load_u0, (130, 97), 51),
        (tiny_unet, SHAPE, 64),
        (lambda: basic("batch"), SHAPE, 64),
        (lambda: monai("UNet", channels=(4, 6, 8), strides=(2, 2), norm="batch"), SHAPE, 64),
    ],
    ids=["u0", "u0-odd-tiles", "tiny", "basic-unet", "unet"],
)
def test_equivalence(make, shape, tile):
    net = make()
    assert tiles.tiling_of(net, 3).exact
    assert difference(net, shape, tile) < 1e-5


def looking_far(net):
    """The same layers, each giving all of its weight to the pixel that is farthest away."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
            kernel = module.weight.detach().sum((2, 3))
            module.weight.data.zero_()
            module.weight.data[:, :, 0, 0] = kernel
    return net


@pytest.mark.parametrize("make", [load_u0, tiny_unet])
def test_equivalence_needs_all_of_the_halo(make):
    net = looking_far(make())
    halo = tiles.halo_of(net, 3)
    assert halo == tiles.halo_of(make(), 3) == 56
    assert difference(net, halo=halo) < 1e-5 < difference(net, halo=halo - 8)


def test_equivalence_as_trained_needs_most_of_it():
    assert difference(load_u0(), halo=40) > 1e-4


@cache
def moments_both_ways(shape=(139, 101), passes=4, seed=7):
    net, x = load_u0(dropout=True), random_input(shape=(3, *shape))
    assert tiles.tiling_of(net, 3, passes=True).exact
    halo = tiles.halo_of(net, 3)

    def make(box):
        found = tiles.moments_box(net, reader(x), shape, box, halo, passes, seed)
        return np.stack([found.mean, found.aleatoric, found.epistemic])

    whole = mc_moments(net, x, passes, seed)
    parts = patchwork(make, shape, 64, (3, 4))
    return parts, np.stack([whole.mean, whole.aleatoric, whole.epistemic])


def test_equivalence_moments():
    found, whole = moments_both_ways()
    np.testing.assert_allclose(found, whole, rtol=0, atol=1e-5)
    assert whole[2].max() > 1e-3, "nothing was dropped"


def test_values_moments_without_dropout():
    net, x, box = tiny_unet(), random_input(shape=(3, 64, 64)), (8, 8, 30, 40)
    found = tiles.moments_box(net, reader(x), (64, 64), box, 64)
    prob = predict(net, x)[:, 8:30, 8:40]
    np.testing.assert_allclose(found.mean, prob, atol=1e-6)
    np.testing.assert_allclose(found.aleatoric, prob * (1 - prob), atol=1e-6)
    assert found.passes == 1 and not found.epistemic.any()


@pytest.mark.parametrize("count", [0, 1, 3, 5])
@pytest.mark.parametrize("divisor", [1, 4, 32])
def test_values_halo_of_convolutions(count, divisor):
    net = convolutions(count, divisor) if count else nn.Conv2d(3, 2, 1)
    net.divisor = divisor
    assert tiles.halo_of(net, 3) == -(-count // divisor) * divisor


@pytest.mark.parametrize("padding", [(6, 0, 0, 0), (0, 6, 0, 0), (0, 0, 6, 0), (0, 0, 0, 6)])
def test_values_halo_dilated_and_one_sided(padding):
    kernel, dilation = ((1, 3), (1, 3)) if any(padding[:2]) else ((3, 1), (3, 1))
    net = nn.Sequential(nn.ZeroPad2d(padding), nn.Conv2d(3, 2, kernel, dilation=dilation))
    net.divisor = 1
    assert tiles.halo_of(net, 3) == 6


def test_values_halo_beyond_the_limit():
    assert tiles.halo_of(convolutions(5), 3, limit=5) == 5
    assert tiles.halo_of(convolutions(5), 3, limit=4) is None


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: basic("instance"), "InstanceNorm2d sees the whole image"),
        (lambda: monai("SegResNet", init_filters=8), "GroupNorm sees the whole image"),
        (Positions, "the result depends on where in the image a tile lies"),
        (lambda: Normalised(), "depends on pixels more than 512 away"),
        (lambda: nn.Upsample(scale_factor=0.5), "another size than the image"),
        (lambda: Fixed(), "no image of another size (64 by 64 only)"),
        (lambda: Hiding(), "it hides NaN"),
    ],
    ids=[
        "instance",
        "group",
        "positions",
        "own-normalisation",
        "half-size",
        "one-size",
        "hides-nan",
    ],
)
def test_values_not_local(make, why):
    net = make()
    net.weight = nn.Parameter(torch.zeros(1))
    assert tiles.halo_of(net, 3) is None
    tiling = tiles.tiling_of(net, 3)
    assert not tiling.exact and why in tiling.why and tiling.why.endswith("approximate")
    assert tiling.halo >= 128 and tiling.halo % divisor_of(net) == 0


class Normalised(nn.Module):
    def forward(self, x):
        return x - x.mean(dim=(2, 3), keepdim=True)


class Fixed(nn.Module):
    def forward(self, x):
        if x.shape[2:] != (64, 64):
            raise ValueError("64 by 64 only")
        return x


class Hiding(nn.Module):
    def forward(self, x):
        return x.nan_to_num()


def test_values_single_elements_are_another_draw():
    tiling = tiles.tiling_of(basic("batch", dropout=0.2), 3, passes=True)
    assert not tiling.exact and "nn.Dropout" in tiling.why and tiling.halo == 96
    assert tiles.tiling_of(basic("batch", dropout=0.2), 3).exact


def test_values_diverged_is_not_remembered():
    net = convolutions(2)
    kept = net[0].weight.detach().clone()
    net[0].weight.data.fill_(torch.nan)
    assert tiles.halo_of(net, 3) is None
    net[0].weight.data.copy_(kept)
    assert tiles.halo_of(net, 3) == 2


def test_values_remembered_until_the_structure_changes(monkeypatch):
    monkeypatch.setattr("limsup_widgets.learn.halo._KNOWN", {})
    net, runs = convolutions(2), []
    net.register_forward_hook(lambda *_: runs.append(1))
    assert tiles.halo_of(net, 3) == 2 and runs
    runs.clear()
    net[0].weight.data.mul_(2)
    assert tiles.halo_of(net, 3) == 2 and not runs
    net[1] = nn.Conv2d(3, 3, 5, padding=2)
    assert tiles.halo_of(net, 3) == 3


def test_modes_are_put_back():
    net = tiny_unet().train()
    before = [b.clone() for b in net.buffers()]
    tiles.halo_of(net, 3)
    assert all(m.training for m in net.modules()) and torch.is_grad_enabled()
    assert all(torch.equal(a, b) for a, b in zip(before, net.buffers(), strict=True))


SIDES = st.integers(1, 90)


@given(SIDES, SIDES, st.integers(1, 40), st.tuples(SIDES, SIDES, SIDES, SIDES))
def test_values_plan_covers_once(height, width, tile, view):
    view = (min(view[0], view[2]), min(view[1], view[3]), *map(max, view[:2], view[2:]))
    plan, seen = tiles.tile_plan((height, width), view, tile), np.zeros((height, width), int)
    for top, left, bottom, right in plan:
        seen[top:bottom, left:right] += 1
        assert max(bottom - top, right - left) < 1.25 * tile
    assert (seen == 1).all()
    assert sorted(plan) == sorted(tiles.tile_plan((height, width), None, tile))
    touching = [
        max(b[0], view[0]) < min(b[2], view[2]) and max(b[1], view[1]) < min(b[3], view[3])
        for b in plan
    ]
    assert touching == sorted(touching, reverse=True)


def test_values_plan_nearest_first():
    plan = tiles.tile_plan((500, 500), viewport=(190, 190, 310, 310), tile=100)
    assert plan[0] == (200, 200, 300, 300)
    assert set(plan[:9]) == {
        (y, x, y + 100, x + 100) for y in (100, 200, 300) for x in (100, 200, 300)
    }
    assert {plan[-1], plan[-2], plan[-3], plan[-4]} == {
        (y, x, y + 100, x + 100) for y in (0, 400) for x in (0, 400)
    }


@given(SIDES, SIDES, st.integers(0, 40), st.sampled_from([1, 4, 8, 32]), st.data())
def test_values_grown(height, width, halo, divisor, data):
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    box = (
        top,
        left,
        data.draw(st.integers(top + 1, height)),
        data.draw(st.integers(left + 1, width)),
    )
    window = tiles.grown(box, (height, width), halo, divisor)
    for axis, side in enumerate((height, width)):
        start, end = window[axis], window[axis + 2]
        assert start % divisor == 0 and (end % divisor == 0 or end == side)
        assert start == 0 or box[axis] - halo - divisor < start <= box[axis] - halo
        assert end == side or box[axis + 2] + halo <= end < box[axis + 2] + halo + divisor


def test_equivalence_export_of_a_file_that_is_read_in_parts(tmp_path):
    """A TIFF on the disk → tiles → labels on the disk, against the network on the whole array."""
    pixels = np.random.default_rng(0).integers(0, 256, (*SHAPE, 3)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pixels, tile=(32, 48), photometric="rgb")
    image, net = read_image(tmp_path / "a.tif", lazy_from=1), load_u0()
    normalizer, halo = net.card.normalizer, tiles.halo_of(net, 3)

    def labelled():
        for box in tiles.tile_plan(image.shape, viewport=(90, 90, 100, 100), tile=64):
            prob = tiles.predict_box(
                net, lambda box: normalizer(image.read(box)), image.shape, box, halo
            )
            yield box, codes(prob)

    path = write_label_pyramid(tmp_path / "labels.tif", image.shape, labelled())
    whole = codes(predict(net, normalizer(pixels)))
    found = read_labels(path, 4, SHAPE)
    assert image.is_lazy and len(np.unique(whole)) > 1
    assert (found != whole).mean() < 1e-4, "but for ties to rounding"


def test_reads_the_window_alone():
    x, boxes = random_input(shape=(3, 400, 400)), []

    def read(box):
        boxes.append(box)
        return reader(x)(box)

    tiles.predict_box(tiny_unet(), read, (400, 400), (200, 208, 232, 240), 64)
    assert boxes == [(136, 144, 296, 304)]


def test_errors():
    net, x = tiny_unet(), random_input(shape=(3, 40, 40))
    for box in [(0, 0, 41, 8), (-1, 0, 8, 8), (8, 8, 8, 9), (9, 0, 8, 8)]:
        with pytest.raises(LimsupError, match=r"box: got .*pixels inside an image"):
            tiles.predict_box(net, reader(x), (40, 40), box, 8)
    with pytest.raises(LimsupError, match="tiles: got 0"):
        tiles.tile_plan((8, 8), tile=0)
    with pytest.raises(LimsupError, match=r"image at \(0, 0, 40, 40\): got \(3, 3\)"):
        tiles.predict_box(net, lambda box: x[:, :3, :3], (40, 40), (0, 0, 9, 9), 64)
