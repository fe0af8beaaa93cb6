import numpy as np
from scipy import ndimage as ndi

from limsup_widgets.data.ihc import IHC_CLASSES, SPECK, ihc_image, ihc_reference


def test_shapes():
    assert ihc_image().array.shape == (512, 512, 3)
    assert ihc_reference().shape == (512, 512) and ihc_reference().dtype == np.uint8
    assert np.unique(ihc_reference()).tolist() == [1, 2, 3] and len(IHC_CLASSES) == 3


def test_values_follow_the_colours():
    red, _, blue = np.moveaxis(ihc_image().array.astype(float), -1, 0)
    codes = ihc_reference()
    warm = [np.median((red - blue)[codes == code]) for code in (1, 2, 3)]
    light = [np.median((red + blue)[codes == code]) for code in (1, 2, 3)]
    assert np.argmax(warm) == 1 and np.argmin(warm) == 2 and np.argmax(light) == 0


def test_values_without_specks():
    codes = ihc_reference()
    for code in (1, 2, 3):
        pieces, count = ndi.label(codes == code)
        sizes = np.bincount(pieces.ravel())[1:]
        assert count < 150 and np.median(sizes) >= SPECK
