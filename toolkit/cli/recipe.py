"""``toolkit recipe``: the built-in recipes and the schema."""

from __future__ import annotations

import json

import typer

from toolkit.recipe import load as recipes
from toolkit.recipe.schema import Recipe

app = typer.Typer(help="Show, check and describe recipes.", no_args_is_help=True)


@app.command("list")
def list_() -> None:
    """Name the built-in recipes."""
    for name in recipes.builtin_names():
        typer.echo(f"{name:<28} {recipes.load(name).description}")


@app.command()
def show(
    name: str = typer.Argument(help="Built-in name or YAML file."),
    change: list[str] = typer.Option([], "--set", metavar="KEY=VALUE", help="Change a field, e.g. seed=7."),
) -> None:
    """Print a recipe with every default written out."""
    typer.echo(recipes.dump(recipes.load(name, tuple(change))), nl=False)


@app.command()
def check(name: str = typer.Argument(help="YAML file.")) -> None:
    """Check a recipe and print its digest."""
    recipe = recipes.load(name)
    typer.echo(f"ok  {recipe.name}  sha256 {recipes.sha256(recipe)}")


@app.command()
def schema() -> None:
    """Print the JSON Schema of recipes, for editors."""
    typer.echo(json.dumps(Recipe.model_json_schema(by_alias=True), indent=1))
