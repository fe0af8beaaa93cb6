"""The toolkits that ``mc_dropout`` runs beside limsup, where they can be had.

``python benchmarks/peers.py`` puts them into ``build/peers`` (needs a network), never into the
environment: their pins would replace packages there. What cannot run says why, in the record.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import subprocess
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

FOLDER = Path(__file__).resolve().parent.parent / "build" / "peers"
PACKAGES = (
    *("baal==2.1.0", "structlog==22.3.0", "torchmetrics==1.9.0", "lightning-utilities==0.15.3"),
    *("torch-uncertainty==0.13.0", "einops==0.8.2", "lightning==2.6.6", "pytorch-lightning==2.6.6"),
    *("jsonargparse==4.53.0", "docstring-parser==0.18.0", "typeshed-client==2.15.0"),
    *("seaborn==0.13.2", "timm==1.0.31", "pyamg==5.4.1"),
)
"""The two toolkits and, of what they need, what limsup's environment lacks; what scikit-image's
random walker wants to be fast."""
sys.path += [str(FOLDER)] * FOLDER.is_dir()  # last, so that the environment's own packages win


def baal_predict(model: nn.Module, x: Tensor, passes: int) -> tuple[Tensor, Tensor]:
    """baal as its documentation has it: patched dropout, all passes as one batch of copies."""
    from baal import ModelWrapper
    from baal.bayesian.dropout import patch_module
    from baal.modelwrapper import TrainingArgs

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a network patched once needs no second patch
        patched = patch_module(model.eval())
    wrapped = ModelWrapper(patched, TrainingArgs(use_cuda=x.is_cuda))
    stack = wrapped.predict_on_batch(x[None], iterations=passes)[0].softmax(0)
    return stack.mean(-1), stack.var(-1, unbiased=False)


def torch_uncertainty_predict(model: nn.Module, x: Tensor, passes: int) -> tuple[Tensor, Tensor]:
    """torch-uncertainty with its defaults: ``mc_dropout``, all passes as one batch of copies."""
    wrapped = uncertainty_module().mc_dropout(model, passes, task="segmentation").eval()
    with torch.no_grad():
        stack = wrapped(x[None]).softmax(1)
    return stack.mean(0), stack.var(0, unbiased=False)


def uncertainty_module() -> ModuleType:
    """The toolkit's ``methods.mc_dropout``; that one file if the package does not import.

    The package loads torchvision when it is imported, which has no build for every torch. The file
    itself needs torch and einops.
    """
    name = "torch_uncertainty.methods.mc_dropout"
    try:
        return importlib.import_module(name)
    except (ImportError, RuntimeError):
        package = importlib.util.find_spec("torch_uncertainty")
        if package is None or package.origin is None:
            raise
        file = Path(package.origin).parent / "methods" / "mc_dropout.py"
        spec = importlib.util.spec_from_file_location("tu_mc_dropout", file)
        if spec is None or spec.loader is None:
            raise
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module


def walker_mode() -> str:
    """How scikit-image's random walker can solve its equations here: by multigrid where it can."""
    return "cg_mg" if importlib.util.find_spec("pyamg") else "cg_j"


def peer_state() -> dict[str, dict[str, Any]]:
    """For each toolkit: whether it runs here, its version, and what stands in its way."""
    modules = {"baal": "baal", "torch-uncertainty": "torch_uncertainty"}
    return {name: _state(name, module) for name, module in modules.items()}


def _state(name: str, module: str) -> dict[str, Any]:
    known: dict[str, Any] = {"runs": True, "version": None, "problem": None}
    if importlib.util.find_spec(module) is None:
        return known | {"runs": False, "problem": "it is not installed"}
    known["version"] = importlib.metadata.version(name)
    try:
        importlib.import_module(module)
    except (ImportError, RuntimeError) as error:
        known["problem"] = f"importing it says {type(error).__name__}: {error}"
        known["runs"] = module == "torch_uncertainty" and _loads()
    return known


def _loads() -> bool:
    try:
        return bool(uncertainty_module())
    except (ImportError, RuntimeError):
        return False


if __name__ == "__main__":
    target = ["--no-deps", "--quiet", "--upgrade", "--target", str(FOLDER)]
    sys.exit(
        subprocess.run([sys.executable, "-m", "pip", "install", *target, *PACKAGES]).returncode
    )
