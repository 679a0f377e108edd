from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.detection.data import load_dataset, render_doom
from engine.detection.data.doom import LEAST_PIXELS, RECIPE
from engine.doom import GameMap

pytest.importorskip("vizdoom")


def test_pictures_have_boxes_of_their_masks_and_come_back_as_coco(tmp_path: Path) -> None:
    maps = [GameMap("freedoom2", "MAP01")], [GameMap("freedoom2", "MAP29")]
    train, val = render_doom(tmp_path, maps=maps)
    assert len(train) and len(val) and train.has_masks
    assert all("MAP01" in each.file for each in train.records) and all("MAP29" in each.file for each in val.records)
    assert len(train) <= RECIPE.scenes * RECIPE.views
    for record in train.records:
        for each in record.instances:
            assert each.mask is not None
            mask = each.mask.array(record.height, record.width)
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            assert each.box == (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
            assert each.crowd == (mask.sum() < LEAST_PIXELS)
    loaded = load_dataset(tmp_path, unpack_to=None)
    again, _ = loaded.train_val()
    assert again.classes == train.classes and len(again) == len(train)
    assert [each.instances for each in again.records] == [each.instances for each in train.records]
