"""What all tests share: one thread, the quick profile, and laws checked without a clock."""

import os

from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("LIMSUP_PROFILE", "quick")

settings.register_profile("limsup", deadline=None, derandomize=True)
settings.load_profile("limsup")
