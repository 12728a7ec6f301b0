from pathlib import Path

import pytest

from adaspring.errors import RecipeError
from adaspring.features import build_pipeline
from adaspring.workbench.recipe import load_recipe

RECIPES = sorted(Path(__file__).parents[2].glob("models/*/recipe.toml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.parent.name)
def test_the_shipped_recipes_can_be_read(path: Path) -> None:
    """Each has the name of its folder, and its preprocessing puts out what the space takes."""
    recipe = load_recipe(path)
    assert path.parent.name == recipe.name
    assert recipe.preprocessing is not None
    assert (recipe.space.input_channels, *recipe.space.input_size) == build_pipeline(recipe.preprocessing).shape
    assert recipe.data.licence


def test_recipes_for_all_tasks_are_there() -> None:
    """Five tasks, a second acoustic one, and the two larger relatives of the image sets."""
    tasks = {"har", "sound", "fsdd", "cifar", "cifar100", "tiny-imagenet", "imagenet", "driver"}
    assert tasks <= {path.parent.name for path in RECIPES}


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (
            "weight_decay",
            "weight_decai",
            "unknown field `weight_decai` - at `$.training`; did you mean weight_decay?",
        ),
        ("[accuracy]", "[qqqqqqqq]", "unknown field `qqqqqqqq`"),
        ("epochs = 4", 'epochs = "4"', "at `$.training.ensemble.epochs`"),
        ('name = "tiny"', "", "missing required field `name`"),
        ("stride = 2, operators", "stride = 2, skippable = true, operators", "cannot be skippable"),
        ('"conv", "dwsep"]', '"conv", "magic"]', "slot 2: operators must be some of"),
        ("seed = 1", "seed = ", "not TOML"),
    ],
)
def test_a_bad_recipe_is_refused_by_key(recipe_path: Path, before: str, after: str, said: str) -> None:
    """Whatever is wrong, the message names the file and the place."""
    recipe_path.write_text(recipe_path.read_text(encoding="utf-8").replace(before, after, 1), encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        load_recipe(recipe_path)
    assert str(recipe_path) in str(caught.value)
    assert said in str(caught.value)


def test_a_missing_recipe_is_said_to_be_missing(tmp_path: Path) -> None:
    """No traceback for a wrong path."""
    with pytest.raises(RecipeError, match="there is no such file"):
        load_recipe(tmp_path / "none.toml")


def test_a_start_is_found_from_the_recipe(recipe_path: Path) -> None:
    """Wherever the training is begun."""
    content = recipe_path.read_text(encoding="utf-8")
    recipe_path.write_text(content.replace("[training]\n", '[training]\nstart = "../other/bundle"\n'), encoding="utf-8")
    assert load_recipe(recipe_path).training.start == str(recipe_path.parent.parent.resolve() / "other" / "bundle")
