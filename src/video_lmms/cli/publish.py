# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""`video-lmms publish`: a model folder to the Hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from .console import note, quiet_libraries, user_errors


def publish(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A converted or trained folder.")],
    repo_id: Annotated[str, typer.Option(help="Where to: ORG/NAME. It is made if it is not there.")],
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would be sent, send nothing.")] = False,
    have_the_rights: Annotated[
        bool, typer.Option("--i-have-the-rights", help="You may publish weights whose licence forbids it to others.")
    ] = False,
    message: Annotated[str | None, typer.Option(help="Of the commit.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Publish a model on the Hub: weights, the code that runs them, a card. An interrupted upload can go on.

    The token is that of `hf auth login`.
    """
    with user_errors():
        from ..hub import publish as publish_folder

        quiet_libraries()
        publication = publish_folder(
            directory,
            repo_id,
            private=private,
            dry_run=dry_run,
            have_the_rights=have_the_rights,
            message=message,
            tell=note,
        )
    if as_json:
        typer.echo(json.dumps(publication.as_dict(), ensure_ascii=False))
        return
    if dry_run:
        for name, size in publication.files.items():
            typer.echo(f"{size:>16,}  {name}")
        typer.echo(f"{publication.size:>16,}  bytes in {len(publication.files)} files, for {repo_id}")
        typer.echo(f"licence of the weights: {publication.licence}; nothing was sent")
        return
    typer.echo(f"{publication.url}\nrevision {publication.revision}")
