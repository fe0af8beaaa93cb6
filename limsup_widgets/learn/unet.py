"""A compact U-Net whose dropout sits late, so that most of it runs once for many passes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from limsup_widgets.learn.weights import ModelCard

from limsup_widgets.errors import LimsupError

PLACES = ("bottleneck", "quarter", "half", "full")


def double_conv(c_in: int, c_out: int) -> nn.Sequential:
    """Two 3×3 convolutions, each with batch normalisation and ReLU."""
    layers: list[nn.Module] = []
    for c in (c_in, c_out):
        layers += [nn.Conv2d(c, c_out, 3, padding=1, bias=False), nn.BatchNorm2d(c_out), nn.ReLU()]
    return nn.Sequential(*layers)


class Up(nn.Module):
    """Bilinear doubling, 1×1 convolution, the skip beside it, two convolutions."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(c_in, c_out, 1)
        self.block = double_conv(2 * c_out, c_out)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """``x (N, C, H, W)`` and ``skip (N, C/2, 2H, 2W)`` → ``(N, C/2, 2H, 2W)``."""
        x = F.interpolate(self.reduce(x), scale_factor=2.0, mode="bilinear", align_corners=False)
        return self.block(torch.cat([skip, x], dim=1))


class UNet(nn.Module):
    """U-Net with three poolings and up to four places for whole-channel dropout.

    Parameters
    ----------
    in_channels, classes
        Channels of the image, and K, the number of classes.
    widths
        Channels at full, 1/2, 1/4 and 1/8 resolution. The default has 253,804 parameters.
    p_drop
        Probability that a channel is dropped; 0 gives the plain network.
    dropout_at
        Places out of ``bottleneck``, ``quarter``, ``half`` and ``full``: the outputs of the block
        at 1/8 and of the decoder blocks at 1/4, 1/2 and full resolution. What lies before the
        first of them is the same in every stochastic pass.

    Raises
    ------
    LimsupError
        A place that does not exist, or another number of widths than four.

    Notes
    -----
    Source: Ronneberger et al. 2015 for the shape; talk of G. Boracchi (seed 000) for the two
    dropout layers. Input sides must be multiples of :attr:`divisor`;
    :func:`limsup_widgets.learn.infer.predict` pads.

    Examples
    --------
    >>> net = UNet(p_drop=0.2)
    >>> net(torch.zeros(1, 3, 64, 96)).shape
    torch.Size([1, 4, 64, 96])
    >>> sum(p.numel() for p in net.parameters())
    253804
    """

    divisor = 8
    card: ModelCard

    def __init__(
        self,
        in_channels: int = 3,
        classes: int = 4,
        widths: Sequence[int] = (12, 24, 48, 96),
        p_drop: float = 0.0,
        dropout_at: Sequence[str] = ("quarter", "half"),
    ) -> None:
        super().__init__()
        if unknown := set(dropout_at) - set(PLACES):
            raise LimsupError("dropout_at", got=sorted(unknown), expected=", ".join(PLACES))
        if len(widths) != len(PLACES):
            raise LimsupError("widths", got=f"{len(widths)} levels", expected=len(PLACES))
        self.in_channels, self.classes, self.widths = in_channels, classes, tuple(widths)
        self.p_drop, self.dropout_at = p_drop, tuple(dropout_at)
        inputs = (in_channels, *self.widths[:-1])
        self.encoder = nn.ModuleList(
            double_conv(a, b) for a, b in zip(inputs, self.widths, strict=True)
        )
        self.decoder = nn.ModuleList(
            Up(self.widths[i + 1], self.widths[i]) for i in reversed(range(len(self.widths) - 1))
        )
        self.head = nn.Conv2d(self.widths[0], classes, 1)
        live = self.dropout_at if p_drop > 0 else ()
        self.drop = nn.ModuleDict({f"at_{place}": nn.Dropout2d(p_drop) for place in live})

    @property
    def split(self) -> int:
        """Index into ``PLACES`` of the first dropout; ``len(PLACES)`` without any."""
        return min((i for i, p in enumerate(PLACES) if f"at_{p}" in self.drop), default=len(PLACES))

    def _dropped(self, place: int, x: Tensor) -> Tensor:
        name = f"at_{PLACES[place]}"
        return self.drop[name](x) if name in self.drop else x

    def _levels(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        skips: list[Tensor] = []
        for level, block in enumerate(self.encoder):
            x = block(F.max_pool2d(x, 2) if level else x)
            skips.append(x)
        return skips[:-1], x

    def prefix(self, x: Tensor) -> tuple[Tensor, ...]:
        """Everything before the first dropout: ``x`` and the skips that are still to be used."""
        skips, x = self._levels(x)
        for place in range(min(self.split, len(self.decoder))):
            x = self.decoder[place](x, skips.pop())
        return (x, *skips)

    def suffix(self, features: tuple[Tensor, ...]) -> Tensor:
        """From what :meth:`prefix` gave to the logits ``(N, K, H, W)``."""
        x, *skips = features
        start = min(self.split, len(self.decoder))
        for place in range(start, len(self.decoder)):
            x = self.decoder[place](self._dropped(place, x), skips.pop())
        return self.head(self._dropped(len(self.decoder), x))

    def forward(self, x: Tensor) -> Tensor:
        """``x (N, C, H, W)`` → logits ``(N, K, H, W)``."""
        return self.suffix(self.prefix(x))

    def features(self, x: Tensor) -> list[Tensor]:
        """Outputs of the four decoder levels, coarse to fine, dropout as the mode has it."""
        skips, x = self._levels(x)
        levels = [self._dropped(0, x)]
        for place, up in enumerate(self.decoder, start=1):
            levels.append(self._dropped(place, up(levels[-1], skips.pop())))
        return levels
