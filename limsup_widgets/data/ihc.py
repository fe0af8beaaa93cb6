"""A real stained section that needs no download, with reference classes made from its colours.

The image comes with scikit-image: colonic glands, DAB (brown) against an epithelial protein,
haematoxylin on nuclei. Nobody outlined anything in it. The reference is a **proxy**: Otsu's
threshold on the two stains that colour deconvolution separates, smoothed and freed of specks.
Agreement with it says how well a network learned from scribbles a rule about colours and places;
it is no measure of diagnostic accuracy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi
from skimage.color import rgb2hed
from skimage.data import immunohistochemistry
from skimage.filters import threshold_otsu
from skimage.morphology import disk

if TYPE_CHECKING:
    from limsup_widgets.data.image import Image

IHC_CLASSES = ("stroma", "DAB", "nuclei")
SPECK = 60


def ihc_image() -> Image:
    """The image, (512, 512, 3) uint8, named ``"ihc"``.

    Examples
    --------
    >>> ihc_image().array.shape
    (512, 512, 3)
    """
    from limsup_widgets.data.image import Image

    note = "scikit-image's immunohistochemistry sample, embedded in that package"
    return Image.from_array(immunohistochemistry(), name="ihc", notes=(note,))


def ihc_reference() -> NDArray[np.uint8]:
    """Codes 1…3 of :data:`IHC_CLASSES`, (512, 512) uint8: a proxy made from colour alone.

    DAB is where the brown stain, smoothed over 3 pixels (SD), exceeds its Otsu threshold: glands
    whole, with most of their nuclei. Of the rest, nuclei are where haematoxylin, smoothed over
    1.5 pixels, exceeds the threshold found there; stroma is everything else, empty glass too.
    Classes are opened and closed by a disc; pieces below 60 pixels go to the class around.

    Examples
    --------
    >>> np.unique(ihc_reference()).tolist()
    [1, 2, 3]
    """
    stains = rgb2hed(immunohistochemistry())
    brown = ndi.gaussian_filter(stains[..., 2], 3)
    haematoxylin = ndi.gaussian_filter(stains[..., 0], 1.5)
    dab = _tidy(brown > threshold_otsu(brown))
    nuclei = _tidy((haematoxylin > threshold_otsu(haematoxylin[~dab])) & ~dab) & ~dab
    codes = np.ones(dab.shape, np.uint8)
    codes[dab] = 2
    codes[nuclei] = 3
    return _absorb_specks(codes)


def _tidy(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Drop hairs and fill pinholes with a disc of radius 2."""
    brush = disk(2)
    opened = ndi.binary_opening(mask, brush)
    return np.asarray(ndi.binary_closing(opened, brush))


def _absorb_specks(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Give connected pieces below ``SPECK`` pixels the code of the nearest large piece."""
    small = np.zeros(codes.shape, bool)
    for code in np.unique(codes):
        pieces, _ = ndi.label(codes == code)
        size = np.bincount(pieces.ravel())
        small |= (size[pieces] < SPECK) & (pieces > 0)
    nearest = ndi.distance_transform_edt(small, return_distances=False, return_indices=True)
    return np.asarray(codes[tuple(nearest)])
