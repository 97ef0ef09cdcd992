"""Recipes: those that come with visavis, changes to them, and what is refused."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from visavis.convert.crops import made_crops  # noqa: E402
from visavis.errors import ConfigurationError  # noqa: E402
from visavis.train.backbones import BACKBONES, build_backbone  # noqa: E402
from visavis.train.classes import ALONE  # noqa: E402
from visavis.train.learner import Learner, rate_at  # noqa: E402
from visavis.train.recipe import Recipe, read_recipe, recipes, resolved  # noqa: E402

RUN = {"fine_tune", "small"}


def test_the_recipes_that_come_with_visavis():
    assert recipes() == [
        "adaface_ir101_webface4m", "adaface_ir50_ms1mv2", "arcface_r100_glint360k",
        "arcface_r50_ms1mv2", "elasticface_r50", "fine_tune", "magface_r50", "mobilefacenet",
        "small",
    ]  # fmt: skip


@pytest.mark.parametrize("name", recipes())
def test_a_recipe_says_whether_we_ran_it_and_survives_being_written(name, tmp_path):
    recipe = read_recipe(name)
    assert (name in RUN) != recipe.about.startswith("not run by us: ")
    assert recipe.backbone in BACKBONES
    (tmp_path / "recipe.toml").write_bytes(resolved(recipe))
    assert read_recipe(str(tmp_path / "recipe.toml")) == recipe


def test_changes_come_over_the_recipe():
    recipe = read_recipe(
        "small", ["rate=1", "margin.scale=32", "data=a folder", "frozen=['conv1']", "still=true"]
    )
    assert (recipe.rate, recipe.margin.scale, recipe.data) == (1.0, 32.0, "a folder")
    assert (recipe.frozen, recipe.still, recipe.margin.margin) == (("conv1",), True, 0.2)


BAD = [
    (["ratee=1"], "unknown key 'ratee': did you mean 'rate'"),
    (["margin.scal=1"], "unknown key 'margin.scal': did you mean 'margin.scale'"),
    (["rate"], "expected key=value, got 'rate'"),
    (["rate=fast"], "rate: .*valid number"),
    (["rate=nan"], "rate"),
    (["rate=-1"], "rate: expected more than 0"),
    (["batch=0"], "batch: expected more than 0"),
    (["batch=1.5"], "batch"),
    (["people=7"], "64 pictures are not as many of each of 7 people"),
    (["classes.rate=0"], "classes.rate: expected more than 0"),
    (["classes.rate=2"], "classes.rate: expected 0 to 1"),
    (["schedule=sometimes"], "schedule: expected step, cosine, polynomial"),
    (["optimizer=lion"], "optimizer: expected sgd, adamw"),
    (["precision=fp8"], "precision: expected float32"),
    (["head=none"], "none learns nothing without a teacher"),
    (["margin.norm=[1]"], "norm"),
    (["compile=true", "recompute=true"], "a compiled network decides itself"),
]


@pytest.mark.parametrize(("changes", "message"), BAD)
def test_what_cannot_be_is_refused(changes, message):
    with pytest.raises(ConfigurationError, match=message):
        read_recipe("small", changes)


def test_unknown_recipes_are_refused_with_the_nearest(tmp_path):
    with pytest.raises(ConfigurationError, match="did you mean 'small'"):
        read_recipe("smal")
    (tmp_path / "a.toml").write_text("rate = ")
    with pytest.raises(ConfigurationError, match="cannot be read as TOML"):
        read_recipe(str(tmp_path / "a.toml"))


@pytest.mark.parametrize(
    ("said", "step", "rate"),
    [
        ({"schedule": "polynomial"}, 0, 1.0),
        ({"schedule": "polynomial"}, 50, 0.5),
        ({"schedule": "polynomial", "power": 2.0}, 50, 0.25),
        ({"schedule": "cosine"}, 50, 0.5),
        ({"schedule": "cosine"}, 25, (1 + 2**-0.5) / 2),
        ({"schedule": "step", "drops": (2.0, 5.0)}, 19, 1.0),
        ({"schedule": "step", "drops": (2.0, 5.0)}, 20, 0.1),
        ({"schedule": "step", "drops": (2.0, 5.0)}, 50, 0.01),
        ({"schedule": "cosine", "warm_up": 2.0}, 0, 0.05),
        ({"schedule": "cosine", "warm_up": 2.0}, 19, 1.0),
        ({"schedule": "cosine", "warm_up": 2.0}, 60, 0.5),
    ],
)
def test_the_rate_follows_its_schedule(said, step, rate):
    """100 steps in epochs of 10."""
    assert rate_at(Recipe(rate=1.0, **said), step, 100, 10) == pytest.approx(rate)


def test_an_unknown_backbone_and_a_frozen_part_that_is_not_there():
    with pytest.raises(ConfigurationError, match="did you mean 'iresnet50'"):
        build_backbone(Recipe(backbone="iresnet5"))
    with pytest.raises(ConfigurationError, match="no parameter of foamliu begins 'stem'"):
        build_backbone(Recipe(backbone="foamliu", dim=8, frozen=("stem",)))


# The loss of a recipe's first step, of 4 crops of noise and 10 people, and of its second.
GOLDEN = {
    "adaface_ir101_webface4m": [29.523, 23.426],
    "adaface_ir50_ms1mv2": [28.292, 15.522],
    "arcface_r100_glint360k": [28.206, 3.8227],
    "arcface_r50_ms1mv2": [35.926, 17.867],
    "elasticface_r50": [35.81, 20.47],
    "fine_tune": [10.697, 9.6702],
    "magface_r50": [36.226, 22.791],
    "mobilefacenet": [33.854, 9.8136],
    "small": [7.1089, 0.70808],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", recipes())
def test_a_step_of_every_recipe(name):
    """The whole way, from the recipe's words to moved weights, at its own rate over 100."""
    torch.set_num_threads(1)
    recipe = read_recipe(name, ["steps=100"])
    backbone = build_backbone(recipe)
    learner = Learner(recipe, backbone, 10, torch.device("cpu"), ALONE)
    crops, labels = made_crops(112, 112, count=4), np.arange(4)
    losses = [learner.step(step, recipe.rate / 100, crops, labels) for step in range(2)]
    assert losses == pytest.approx(GOLDEN[name], rel=2e-3)
