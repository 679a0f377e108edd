from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from engine.detection.data import coco, voc, yolo
from engine.detection.data.load import load_dataset, split
from engine.detection.data.shapes import render_shapes
from engine.detection.data.types import Dataset, DatasetError, Instance, Report
from tests.engine.detection.conftest import SHARED
from tests.engine.detection.data_sets import shapes_in, zipped

BCCD = SHARED / "bccd"
NUCLEI = SHARED / "nuclei"


@pytest.mark.parametrize("format", ["coco", "voc", "yolo"])
@pytest.mark.parametrize("as_zip", [False, True])
def test_each_format_comes_back_as_it_was_written(tmp_path: Path, format: str, as_zip: bool) -> None:
    written = shapes_in(tmp_path / "set", format)
    source = zipped(tmp_path / "set") if as_zip else tmp_path / "set"
    loaded = load_dataset(source, unpack_to=tmp_path / "unpacked")
    assert loaded.format == format and not loaded.report.problems
    (dataset,) = loaded.splits.values()
    assert set(dataset.classes) == set(written.classes)
    assert dataset.has_masks == (format == "coco")
    before = {Path(record.file).name: record.instances for record in written.records}
    for record in dataset.records:
        assert dataset.path(record).is_file()
        for ours, theirs in zip(record.instances, before[Path(record.file).name], strict=True):
            assert ours.box == pytest.approx(theirs.box, abs=1e-3)
            assert dataset.classes[ours.label - 1] == written.classes[theirs.label - 1]
            assert format != "coco" or ours.mask == theirs.mask


def test_polygons_are_kept(tmp_path: Path) -> None:
    dataset = render_shapes(tmp_path, 1, size=64)
    polygon = [4.0, 5.0, 20.0, 6.0, 10.0, 30.0]
    box = [4.0, 5.0, 16.0, 25.0]
    annotation = {"id": 1, "image_id": 1, "category_id": 7, "bbox": box, "iscrowd": 0, "segmentation": [polygon]}
    image = {"id": 1, "file_name": dataset.records[0].file, "width": 64, "height": 64}
    data = {"images": [image], "annotations": [annotation], "categories": [{"id": 7, "name": "x"}]}
    (tmp_path / "a.json").write_text(json.dumps(data))
    (loaded,) = load_dataset(tmp_path).splits.values()
    (instance,) = loaded.records[0].instances
    assert instance.mask is not None and instance.mask.polygons == (tuple(polygon),)
    coco.write(loaded, tmp_path / "b.json")
    assert json.loads((tmp_path / "b.json").read_text())["annotations"][0]["segmentation"] == [polygon]
    yolo.write(loaded, tmp_path / "yolo")
    label = next((tmp_path / "yolo").rglob("00000.txt")).read_text().split()
    assert [float(value) * 64 for value in label[1:]] == pytest.approx(polygon)


def broken(folder: Path) -> Report:
    """A COCO set with one of every fault, read."""
    dataset = shapes_in(folder, "coco", count=7)
    data = json.loads((folder / "annotations.json").read_text())
    files = [folder / record.file for record in dataset.records]
    files[0].unlink()
    files[1].write_bytes(b"")
    files[2].write_bytes(files[2].read_bytes()[:600])
    Image.new("1", (20_000, 20_000)).save(files[3])
    data["images"][4]["width"] = 99
    first = next(each for each in data["annotations"] if each["image_id"] == 6)
    extra = [
        {"bbox": [5, 5, 0, 10]},
        {"bbox": [5, 5, float("nan"), 10]},
        {"bbox": [60, 60, 40, 40]},
        {"bbox": [100, 100, 5, 5]},
        {"category_id": 99},
        {"segmentation": {"size": [3, 3], "counts": "09"}},
        {"bbox": "none"},
    ]
    data["annotations"] += [{**first, "id": 1000 + n, **change} for n, change in enumerate(extra)]
    data["annotations"] += [{"id": 2000, "image_id": 12345, "category_id": 1, "bbox": [1, 1, 2, 2]}]
    data["annotations"] = [each for each in data["annotations"] if each["image_id"] != 7]
    data["images"].append({"id": 50, "file_name": "../../../etc/hostname", "width": 1, "height": 1})
    (folder / "annotations.json").write_text(json.dumps(data))
    return load_dataset(folder).report


def test_every_fault_is_named_and_none_is_fatal(tmp_path: Path) -> None:
    report = broken(tmp_path)
    assert dict(report.counts) == {
        "missing_image": 3,
        "empty_image": 1,
        "broken_image": 1,
        "huge_image": 1,
        "size_mismatch": 1,
        "degenerate_box": 2,
        "box_outside": 2,
        "unknown_class": 1,
        "bad_mask": 1,
        "bad_annotation": 1,
        "unlabelled_image": 2,
    }
    assert len(report.sentences()) == len(report.counts)
    assert any("00001.png" in line and "0 bytes" in line for line in report.sentences())
    assert any("400,000,000 pixels" in line for line in report.sentences())
    report.refuse(())
    with pytest.raises(DatasetError, match="400,000,000 pixels"):
        report.refuse(["huge_image"])


def test_voc_faults(tmp_path: Path) -> None:
    shapes_in(tmp_path, "voc")
    folder = tmp_path / "Annotations"
    (folder / "00000.xml").write_text('<!DOCTYPE a [<!ENTITY b "c">]><annotation/>')
    (folder / "00001.xml").write_text("<annotation><object>")
    (folder / "00002.xml").unlink()
    point = "<xmin>9</xmin><ymin>9</ymin><xmax>9</xmax><ymax>9</ymax>"
    (folder / "00003.xml").write_text(
        f"<annotation><object><name>ellipse</name><bndbox>{point}</bndbox></object><object/></annotation>"
    )
    loaded = load_dataset(tmp_path)
    assert loaded.report.counts == {"bad_annotation": 3, "unlabelled_image": 1, "degenerate_box": 1}
    assert len(loaded.splits["all"]) == 4


def test_yolo_faults_and_names(tmp_path: Path) -> None:
    shapes_in(tmp_path, "yolo")
    labels = tmp_path / "labels"
    (labels / "00000.txt").write_text("0 0.5 0.5 0.2\nx y\n7 0.5 0.5 0.1 0.1\n0 0.5 0.5 0.2 0.2\n")
    (labels / "00001.txt").unlink()
    (tmp_path / "classes.txt").unlink()
    (tmp_path / "data.yaml").write_text("names: {0: a, 1: b, 2: c}\n")
    loaded = load_dataset(tmp_path)
    assert loaded.report.counts == {"bad_annotation": 2, "unknown_class": 1, "unlabelled_image": 1}
    assert loaded.splits["all"].classes == ("a", "b", "c")


@pytest.mark.parametrize("text", ["[]", "{}", '{"images": 3, "annotations": [], "categories": []}'])
def test_what_is_no_data_set_says_so(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DatasetError, match="COCO"):
        load_dataset(tmp_path)


def test_a_set_without_objects_is_refused(tmp_path: Path) -> None:
    dataset = shapes_in(tmp_path, "coco")
    empty = Dataset(dataset.root, dataset.classes, tuple(r.__class__(r.file, 64, 64, ()) for r in dataset.records))
    coco.write(empty, tmp_path / "annotations.json")
    with pytest.raises(DatasetError, match="no image has an object"):
        load_dataset(tmp_path)


def test_a_split_is_the_same_for_a_seed(tmp_path: Path) -> None:
    dataset = render_shapes(tmp_path, 10, size=64)
    train, val = split(dataset, 0.3, seed=5)
    assert (len(train), len(val)) == (7, 3)
    assert {record.file for record in train.records + val.records} == {record.file for record in dataset.records}
    assert split(dataset, 0.3, seed=5) == (train, val) != split(dataset, 0.3, seed=6)
    with pytest.raises(DatasetError):
        split(dataset.subset([0]), 0.3)


def test_shapes_are_the_same_each_time_and_have_exact_masks(tmp_path: Path) -> None:
    first, second = (render_shapes(tmp_path / name, 3, size=64, seed=2) for name in ("a", "b"))
    assert first.records == second.records
    for record in first.records:
        assert first.path(record).read_bytes() == second.path(record).read_bytes()
        for each in record.instances:
            assert each.mask is not None and each.mask.box(64, 64) == each.box
    assert render_shapes(tmp_path / "c", 3, size=64, seed=3).records != first.records


def test_names_that_would_collide_are_found_before_writing(tmp_path: Path) -> None:
    record = render_shapes(tmp_path, 1, size=64).records[0]
    twice = Dataset(tmp_path, ("a",), (record, record.__class__("other/00000.png", 64, 64, ())))
    with pytest.raises(DatasetError, match="same name"):
        voc.write(twice, tmp_path / "voc")
    assert not (tmp_path / "voc").exists()
    assert isinstance(record.instances[0], Instance)


anything = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8) | st.just("x" * 5000),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_hostile_json_is_reported_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    """Any value anywhere: a report or a DatasetError, never another exception."""
    if not (tmp_path / "0.png").exists():
        Image.new("L", (16, 16)).save(tmp_path / "0.png")
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9], "segmentation": [[1, 1, 9, 1, 9, 9]]}
    image = {"id": 1, "file_name": "0.png", "width": 16, "height": 16}
    content = {
        "images": [image, dict(image)],
        "annotations": [annotation, dict(annotation)],
        "categories": [{"id": 1, "name": "a"}],
    }
    where = data.draw(st.sampled_from([content, image, annotation, content["categories"][0]]))
    where[data.draw(st.sampled_from(sorted(where)))] = data.draw(anything)
    (tmp_path / "a.json").write_text(json.dumps(content))
    try:
        load_dataset(tmp_path)
    except DatasetError as error:
        assert str(error)


def test_captions_beside_objects_do_no_harm(tmp_path: Path) -> None:
    shapes_in(tmp_path, "coco")
    (tmp_path / "annotations.json").rename(tmp_path / "instances_train2017.json")
    (tmp_path / "captions_val.json").write_text('{"images": [], "annotations": []}')
    loaded = load_dataset(tmp_path)
    assert list(loaded.splits) == ["train"] and loaded.report.counts["bad_annotation"] == 1


def test_names_that_explode_are_refused(tmp_path: Path) -> None:
    shapes_in(tmp_path, "yolo")
    (tmp_path / "classes.txt").unlink()
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60)] + ["names: [*a59]"]
    (tmp_path / "data.yaml").write_text("\n".join(lines))
    with pytest.raises(DatasetError, match="list of class names"):
        load_dataset(tmp_path)


@pytest.mark.skipif(not BCCD.exists(), reason="the blood cells are not on this machine")
def test_blood_cells() -> None:
    loaded = load_dataset(BCCD)
    assert loaded.format == "voc"
    objects = sum(len(record.instances) for each in loaded.splits.values() for record in each.records)
    counts = {name: sum(each.class_counts()[name] for each in loaded.splits.values()) for name in ("RBC", "WBC")}
    assert (objects, counts["RBC"], counts["WBC"]) == BCCD_COUNTS
    assert loaded.report.counts["degenerate_box"] == 2


@pytest.mark.skipif(not NUCLEI.exists(), reason="the nuclei are not on this machine")
def test_nuclei() -> None:
    loaded = load_dataset(NUCLEI)
    assert {name: len(each) for name, each in loaded.splits.items()} == {"train": 531, "val": 133}
    assert sum(each.class_counts()["nucleus"] for each in loaded.splits.values()) == 28_986
    assert all(each.has_masks for each in loaded.splits.values()) and not loaded.report.problems
    train, val = loaded.train_val()
    assert (len(train), len(val)) == (531, 133), "its own split is kept"


BCCD_COUNTS = (4886, 4153, 372)
