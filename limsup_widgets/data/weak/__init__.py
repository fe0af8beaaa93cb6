"""Weak labels made from a dense mask, and what each kind costs an annotator.

A mask holds codes 1…K, (H, W) or (D, H, W); 0 in it means that nobody knows and is never labelled.
Code 1 is the background unless a function is told otherwise. Every function returns new arrays,
depends on ``(mask, options, seed)`` alone and never contradicts the mask, except those whose job
is an error: :mod:`~limsup_widgets.data.weak.noise`, jittered or filled boxes and
``as_background=True``. For a set of images give each its own seed.
"""

from limsup_widgets.data.weak.boxes import box_labels, boxes
from limsup_widgets.data.weak.costs import (
    BEARMAN,
    CITYSCAPES,
    COSTS,
    LECTURE,
    SYNTHETIC,
    AnnotationCost,
    affordable_images,
    annotation_seconds,
)
from limsup_widgets.data.weak.extremes import extreme_points
from limsup_widgets.data.weak.noise import flip_tags, missing_objects, noisy_boundaries
from limsup_widgets.data.weak.objects import BACKGROUND, objects
from limsup_widgets.data.weak.partial import partial_classes
from limsup_widgets.data.weak.points import points
from limsup_widgets.data.weak.scribbles import PLACEMENTS, scribbles
from limsup_widgets.data.weak.sizes import pixel_counts, region_sizes
from limsup_widgets.data.weak.slices import sparse_slices
from limsup_widgets.data.weak.tags import image_tags

__all__ = [
    "BACKGROUND",
    "BEARMAN",
    "CITYSCAPES",
    "COSTS",
    "LECTURE",
    "PLACEMENTS",
    "SYNTHETIC",
    "AnnotationCost",
    "affordable_images",
    "annotation_seconds",
    "box_labels",
    "boxes",
    "extreme_points",
    "flip_tags",
    "image_tags",
    "missing_objects",
    "noisy_boundaries",
    "objects",
    "partial_classes",
    "pixel_counts",
    "points",
    "region_sizes",
    "scribbles",
    "sparse_slices",
]
