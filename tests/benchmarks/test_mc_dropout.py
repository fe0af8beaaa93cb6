"""The ways of ``mc_dropout`` must do the same work: the same maps under the same masks."""

import pytest
import torch
from mc_dropout import FOLDED, LADDER, PREFIX, WAYS, WHOLE, ladder, network, section

from limsup_widgets.learn.moments import mc_moments

PASSES = 6


@pytest.fixture(scope="module")
def expected():
    x = section(48, "cpu")
    moments = mc_moments(network(WHOLE, "cpu"), x, PASSES)
    return x, torch.from_numpy(moments.mean), torch.from_numpy(moments.epistemic)


@pytest.mark.parametrize("way", [WHOLE, PREFIX, FOLDED, "limsup"])
def test_equivalence(way, expected):
    x, mean, epistemic = expected
    found = WAYS[way](network(way, "cpu"), x, PASSES)
    torch.testing.assert_close(found[0], mean, atol=1e-5, rtol=0)
    torch.testing.assert_close(found[1], epistemic, atol=1e-5, rtol=0)


@pytest.mark.parametrize("way", ["naive loop", "naive loop, channels_last"])
def test_values_loops_with_masks_of_their_own(way, expected):
    x, mean, _ = expected
    torch.manual_seed(0)
    found = WAYS[way](network(way, "cpu"), x, 60)
    assert found[0].shape == mean.shape and float(found[1].max()) > 0
    torch.testing.assert_close(found[0].sum(0), torch.ones(48, 48), atol=1e-5, rtol=0)
    # Other masks, the same distribution: the maps look alike, pixel by pixel.
    assert float(torch.corrcoef(torch.stack([found[0].flatten(), mean.flatten()]))[0, 1]) > 0.9


def test_values_every_way_has_its_own_network():
    naive = network("naive loop", "cpu")
    WAYS["naive loop, channels_last"](
        network("naive loop, channels_last", "cpu"), section(16, "cpu"), 1
    )
    weights = [p for p in naive.parameters() if p.ndim == 4 and p.shape[1] > 1 and p.shape[2] > 1]
    assert all(p.is_contiguous() for p in weights)


def test_values_of_the_ladder():
    seconds = {name: 2.0**-number for number, name in enumerate(LADDER)}
    rows = ladder(seconds)["rows"]
    assert [row[3] for row in rows] == [1, 2, 2, 2, 2, 2]
    assert [row[4] for row in rows] == [1, 2, 4, 8, 16, 32]
