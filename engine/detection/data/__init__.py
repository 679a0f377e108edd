"""Detection data sets: read, checked, reported, split, drawn. No torch here: a web process can check an upload.

loaded = load_dataset(Path("upload.zip"), unpack_to=Path("unpacked"))
print("\\n".join(loaded.report.sentences()))
train_set, val_set = loaded.train_val(val_share=0.2, seed=0)
"""

from engine.detection.data.archive import ArchiveError, Limits
from engine.detection.data.doom import render_doom
from engine.detection.data.load import Format, Loaded, load_dataset, split
from engine.detection.data.shapes import render_shapes
from engine.detection.data.types import Dataset, DatasetError, Instance, ProblemKind, Record, Report

__all__ = [
    "ArchiveError",
    "Dataset",
    "DatasetError",
    "Format",
    "Instance",
    "Limits",
    "Loaded",
    "ProblemKind",
    "Record",
    "Report",
    "load_dataset",
    "render_doom",
    "render_shapes",
    "split",
]
