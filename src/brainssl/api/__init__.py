"""Every command as a function: the same name, parameters, defaults and errors.

A function returns the facts that its command prints as JSON, and shows how far it is as the command
does. `brainssl` has them all. Heavy imports stay inside the functions.
"""

import warnings

from brainssl.api.answers import Answer, Rows
from brainssl.api.data import audit, phantom, prepare
from brainssl.api.exporting import export
from brainssl.api.inference import embed, predict
from brainssl.api.inventory import scan
from brainssl.api.measuring import explain, external
from brainssl.api.reviewing import review
from brainssl.api.serving import serve
from brainssl.api.studies import compare, report, study
from brainssl.api.training import evaluate, finetune, pretrain, probe
from brainssl.api.tuning import tune

__all__ = [
    "Answer",
    "Rows",
    "audit",
    "compare",
    "embed",
    "evaluate",
    "explain",
    "export",
    "external",
    "finetune",
    "phantom",
    "predict",
    "prepare",
    "pretrain",
    "probe",
    "report",
    "review",
    "scan",
    "serve",
    "study",
    "tune",
]

# What tqdm, which libraries import, says in a notebook without ipywidgets. No bar here is its.
warnings.filterwarnings("ignore", message="IProgress not found")
