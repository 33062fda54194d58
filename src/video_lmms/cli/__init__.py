# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""The command `video-lmms`. Each command has a file; what is heavy is imported when a command runs."""

import typer

from .ask import ask
from .bench import bench
from .caption import caption
from .chat import chat
from .compare import compare
from .convert import convert
from .demo import demo
from .doctor import doctor
from .estimate import estimate
from .evaluate import evaluate
from .gallery import gallery
from .merge import merge
from .publish import publish
from .score import score
from .serve import serve
from .train import train
from .verify import verify
from .world import world


app = typer.Typer(
    name="video-lmms",
    help="Ask videos questions with video large multimodal models.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(ask)
app.command()(chat)
# The options of `convert` are the model's own, `--help` included.
app.command(add_help_option=False, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(
    convert
)
app.command()(serve)
app.command()(verify)
app.command()(publish)
app.command()(doctor)
app.command()(estimate)
app.command()(evaluate)
app.command()(caption)
app.command()(score)
app.command()(compare)
app.command()(train)
app.command()(merge)
app.command()(world)
app.command()(gallery)
app.command()(demo)
app.add_typer(bench)


def main() -> None:
    """Entry point of the command."""
    app()
