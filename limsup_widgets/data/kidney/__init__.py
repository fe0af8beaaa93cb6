"""A simulated kidney biopsy cohort: healthy controls with masks, patients whose tissue has shifted.

No public data set matches the talk's cohort, so this package draws one: tubules, interstitium,
glomeruli and the rest, in the colours of a periodic acid–Schiff stain.

Source: G. Boracchi, Learning with Limited Supervision in Medical Imaging, Brno, 23 May 2025;
seed 000. The talk gives the cohort's design (11 controls, 20 patients, 7 + 3 images), not its
pixels.
"""

from limsup_widgets.data.kidney.cohort import (
    CLASSES,
    PALETTE,
    SEVERITIES,
    Cohort,
    Subject,
    fresh_controls,
    kidney_cohort,
)
from limsup_widgets.data.kidney.parameters import DIALS, Parameters, subject_parameters
from limsup_widgets.data.kidney.render import render

__all__ = [
    "CLASSES",
    "DIALS",
    "PALETTE",
    "SEVERITIES",
    "Cohort",
    "Parameters",
    "Subject",
    "fresh_controls",
    "kidney_cohort",
    "render",
    "subject_parameters",
]
