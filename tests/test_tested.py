"""Every module that defines something is tested: in the file of its name, or where the table says.

A test file tests a module when it imports the module or another of its room; one of cli/ or
answers/ when it runs verbs.
"""

import ast
import re
from pathlib import Path

import pytest
from source import ROOT, dotted, imported, trees

# Where a module is tested that has no test file of its own name.
TESTED_IN = {
    "__init__.py": "test_import.py",
    "answers/configurations.py": "test_config_cli.py",
    "answers/attendance.py": "test_attendance_cli.py",
    "answers/conversion.py": "test_workflow.py",
    "answers/counts.py": "test_counts.py",
    "answers/datasets.py": "test_bin.py",
    "answers/documents.py": "test_detect.py",
    "answers/downloads.py": "test_push.py",
    "answers/evaluation.py": "test_evaluate_cli.py",
    "answers/installation.py": "test_doctor.py",
    "answers/sharded.py": "test_scale.py",
    "answers/people.py": "test_people_cli.py",
    "answers/pictures.py": "test_scrfd.py",
    "answers/presence.py": "test_find_cli.py",
    "answers/policies.py": "test_answers_packs.py",
    "answers/retention.py": "test_retention.py",
    "answers/unknown.py": "test_inbox.py",
    "answers/words.py": "test_detect.py",
    "attendance/corrections.py": "test_attendance.py",
    "attendance/directory.py": "test_attendance.py",
    "attendance/keys.py": "test_ledger.py",
    "attendance/post.py": "test_attendance_push.py",
    "attendance/punches.py": "test_attendance.py",
    "attendance/push.py": "test_attendance_push.py",
    "attendance/rosters.py": "test_serve_kiosk.py",
    "attendance/sheets.py": "test_reports.py",
    "attendance/store.py": "test_attendance.py",
    "attendance/transfer.py": "test_attendance_cli.py",
    "attendance/unknown.py": "test_inbox.py",
    "attendance/view.py": "test_attendance_cli.py",
    "attendance/whole.py": "test_ledger.py",
    "cautions.py": "test_uncalibrated.py",
    "checkpoints/checkpoint.py": "test_checkpoints.py",
    "checkpoints/cvlface.py": "test_checkpoints.py",
    "checkpoints/embedder.py": "test_embed_checkpoint.py",
    "checkpoints/families.py": "test_checkpoints.py",
    "checkpoints/loading.py": "test_checkpoints.py",
    "checkpoints/unpickle.py": "test_checkpoints.py",
    "answers/training.py": "test_train_cli.py",
    "checkpoints/weights.py": "test_detector_networks.py",
    "checkpoints/wrapping.py": "test_checkpoints.py",
    "cli/__init__.py": "test_cli.py",
    "cli/build.py": "test_build.py",
    "cli/calibrate.py": "test_evaluate_cli.py",
    "cli/corrections.py": "test_attendance_cli.py",
    "cli/shards.py": "test_scale.py",
    "cli/dataset.py": "test_bin.py",
    "cli/detect.py": "test_cli.py",
    "cli/gallery.py": "test_copying.py",
    "cli/group.py": "test_groups.py",
    "cli/embed.py": "test_cli.py",
    "cli/merging.py": "test_merging.py",
    "cli/negatives.py": "test_rejection.py",
    "cli/enroll.py": "test_people_cli.py",
    "cli/groups.py": "test_people_cli.py",
    "cli/identify.py": "test_people_cli.py",
    "cli/options.py": "test_progress.py",
    "cli/pack.py": "test_build.py",
    "cli/plain.py": "test_evaluate_cli.py",
    "cli/printing.py": "test_progress.py",
    "cli/pull.py": "test_push.py",
    "cli/safety.py": "test_altered.py",
    "cli/unknown.py": "test_inbox.py",
    "cli/verify.py": "test_cli.py",
    "convert/crops.py": "test_parity.py",
    "convert/detectors.py": "test_detector_networks.py",
    "convert/form.py": "test_parity.py",
    "convert/judge.py": "test_quantize.py",
    "dataset/arrow.py": "test_recordio.py",
    "dataset/images.py": "test_recordio.py",
    "dataset/pairs.py": "test_dataset.py",
    "dataset/people.py": "test_dataset.py",
    "dataset/pickles.py": "test_bin.py",
    "dataset/tree.py": "test_dataset.py",
    "dataset/verification.py": "test_sets.py",
    "decode/__init__.py": "test_detect.py",
    "decode/decoder.py": "test_signatures.py",
    "evaluate/all_pairs.py": "test_identification.py",
    "evaluate/labels.py": "test_cohorts.py",
    "evaluate/pairs.py": "test_evaluate_cli.py",
    "evaluate/subjects.py": "test_evaluate_cli.py",
    "gallery/models.py": "test_enrollment.py",
    "gallery/groups.py": "test_groups.py",
    "hub/catalogue.py": "test_pull.py",
    "hub/pins.py": "test_pull.py",
    "hub/stores.py": "test_push.py",
    "hub/unzip.py": "test_pull.py",
    "hub/web.py": "test_download.py",
    "identification.py": "test_identify.py",
    "insightface/graph.py": "test_insightface.py",
    "networks/resnet.py": "test_detector_networks.py",
    "networks/retinaface.py": "test_detector_networks.py",
    "networks/yolov5face.py": "test_detector_networks.py",
    "networks/yunet.py": "test_detector_networks.py",
    "pack/calibration.py": "test_decision.py",
    "pack/default.py": "test_builtin.py",
    "pack/dequantise.py": "test_builtin.py",
    "pack/metadata.py": "test_export.py",
    "pack/onnx.py": "test_import_pack.py",
    "results.py": "test_identify.py",
    "runtime/protobuf.py": "test_bounds.py",
    "runtime/shapes.py": "test_trial.py",
    "answers/liveness.py": "test_liveness_cli.py",
    "answers/watching.py": "test_watch_cli.py",
    "serve/hooks/delivery.py": "test_serve_hooks.py",
    "serve/hooks/outbox.py": "test_serve_hooks.py",
    "serve/hooks/sender.py": "test_serve_hooks.py",
    "serve/hooks/webhooks.py": "test_serve_hooks.py",
    "posts.py": "test_attendance_push.py",
    "serve/rest/webhooks.py": "test_serve_schema.py",
    "serve/rest/negatives.py": "test_serve_negatives.py",
    "serve/site/negatives.py": "test_serve_negatives.py",
    "serve/site/looking.py": "test_serve_site.py",
    "serve/site/imports.py": "test_serve_site.py",
    "serve/site/undo.py": "test_serve_site.py",
    "serve/rest/configurations.py": "test_serve_active.py",
    "serve/rest/groups.py": "test_serve_groups.py",
    "serve/rest/kept.py": "test_serve_schema.py",
    "serve/who/records.py": "test_serve_access.py",
    "answers/objections.py": "test_serve_attendance.py",
    "serve/rest/unknown.py": "test_serve_unknown.py",
    "serve/site/unknown.py": "test_serve_unknown.py",
    "serve/rest/objections.py": "test_serve_attendance.py",
    "attendance/objections.py": "test_serve_mine.py",
    "serve/who/links.py": "test_serve_mine.py",
    "serve/site/mine.py": "test_serve_mine.py",
    "serve/site/kiosk.py": "test_serve_kiosk.py",
    "serve/site/attendance.py": "test_serve_days.py",
    "serve/site/correcting.py": "test_serve_days.py",
    "serve/site/dayrows.py": "test_serve_days.py",
    "serve/site/plots.py": "test_serve_days.py",
    "serve/heard.py": "test_serve_terminals.py",
    "serve/punching.py": "test_serve_attendance.py",
    "serve/rest/punches.py": "test_serve_attendance.py",
    "serve/rest/days.py": "test_serve_attendance.py",
    "serve/rest/dayshapes.py": "test_serve_schema.py",
    "attendance/changes.py": "test_serve_attendance.py",
    "watch/presentations.py": "test_liveness_cli.py",
    "watch/address.py": "test_sources.py",
    "watch/frames.py": "test_sources.py",
    "watch/recorded.py": "test_sources.py",
    "watch/stillness.py": "test_watch.py",
    "watch/video.py": "test_sources.py",
    "train/backbones.py": "test_recipe.py",
    "train/classes.py": "test_margins.py",
    "train/data.py": "test_loop.py",
    "train/export.py": "test_train_cli.py",
    "train/heads.py": "test_margins.py",
    "train/learner.py": "test_loop.py",
}


def defines_something(tree: ast.Module) -> bool:
    return any(isinstance(node, ast.FunctionDef | ast.ClassDef) for node in tree.body)


MODULES = [path for path, tree in trees().items() if defines_something(tree)]


def candidates(path: str) -> list[str]:
    """The names that a module's test file may have."""
    if path in TESTED_IN:
        return [TESTED_IN[path]]
    *rooms, stem = path.removesuffix(".py").split("/")
    room = rooms[0] if rooms else stem
    stem = room if stem == "__init__" else stem
    if room == "cli":
        return [f"test_{stem}_cli.py", f"test_{stem}.py"]
    return [f"test_{stem}.py", f"test_{room}_{stem}.py", f"test_{room}.py"]


def is_about(file: Path, path: str) -> bool:
    """Whether a test file tests the module at this path, as far as its text can tell."""
    text = file.read_text(encoding="utf-8")
    names = {name for node in ast.walk(ast.parse(text)) for name in imported(node)}
    rooms = {".".join(name.split(".")[:2]) for name in names}
    room = ".".join(dotted(path).split(".")[:2])
    shows = room in ("visavis.cli", "visavis.answers")
    runs_verbs = "visavis.cli" in rooms or re.search(r"(?<![.\w])run\(", text)
    return room in rooms or bool(shows and runs_verbs)


@pytest.mark.parametrize("path", MODULES)
def test_every_module_is_tested(path):
    files = [ROOT / "tests" / name for name in candidates(path)]
    assert any(file.is_file() and is_about(file, path) for file in files), candidates(path)


def test_the_table_is_of_modules_that_are_there():
    assert set(TESTED_IN) <= set(MODULES)
