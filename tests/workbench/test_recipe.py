from pathlib import Path

import pytest

from adaspring.errors import RecipeError
from adaspring.workbench.recipe import load_recipe


def test_the_shipped_recipe_can_be_read(clone: Path) -> None:
    """The recipe of the activity model names the space that its bundle has."""
    assert len(load_recipe(clone / "models" / "har" / "recipe.toml").space.slots) >= 6


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
