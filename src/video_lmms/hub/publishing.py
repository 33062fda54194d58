# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Publishing a model folder on the Hub: bundled, described, licensed, in one commit.

Large files go first and one by one; a run that was stopped does not send again what the Hub has already. Only then one
commit makes the new state, so that whoever downloads gets the old files or the new ones and never a mixture.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from huggingface_hub.utils import validate_repo_id

from ..errors import LicenceError, NotAModelError, PublishError
from ..registration import ARCHITECTURES
from .bundle_writer import architecture_of, bundle_folder, written_files
from .cards import completed_card
from .folders import PROVENANCE, read_json, write_json
from .licences import Licence, terms_of
from .loading import first_line
from .sources import check_is_model, read_config


Tell = Callable[[str], None]


@dataclass
class Publication:
    """What was, or would be, published.

    Attributes:
        repo_id: on the Hub.
        files: path in the repository -> size in bytes.
        licence: of the weights.
        revision: the commit, or None after a dry run.
        url: of the commit.
    """

    repo_id: str
    files: dict[str, int]
    licence: str
    revision: str | None = None
    url: str | None = None

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(self.files.values())

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self) | {"size": self.size}


def publish(
    directory: str | os.PathLike,
    repo_id: str,
    *,
    private: bool = False,
    dry_run: bool = False,
    have_the_rights: bool = False,
    message: str | None = None,
    tell: Tell = lambda line: None,
) -> Publication:
    """Publishes a converted or trained folder, with all that runs it and says what it is.

    Args:
        directory: with weights. It stays as it is.
        repo_id: `ORG/NAME`; made if it is not there.
        private: whether a new repository is.
        dry_run: only list what would be sent.
        have_the_rights: the user's word that they may publish weights whose terms forbid it, or are not stated.
        message: of the commit.
        tell: receives a line for the reader.

    Returns:
        What was published.

    Raises:
        NotAModelError: the folder is no model of this collection, or an original to be converted first.
        LicenceError: the weights may not be published.
        PublishError: the Hub refused, or the upload was interrupted.
    """
    folder = Path(directory)
    if not folder.is_dir():
        raise NotAModelError(f"There is no folder {folder}.")
    try:
        validate_repo_id(repo_id)
    except HFValidationError as exc:
        raise PublishError(f"{repo_id!r} is no repository id: {first_line(exc)}") from exc
    if "/" not in repo_id:
        raise PublishError(f"{repo_id!r} names no owner. Give --repo-id ORG/NAME.")
    config = read_config(folder)
    check_is_model(str(folder), set(ARCHITECTURES), config)
    licence = check_rights(config, read_json(folder / PROVENANCE), have_the_rights)
    with _bundled(folder, repo_id, licence) as stage:
        files = {path.relative_to(stage).as_posix(): path for path in written_files(stage)}
        publication = Publication(repo_id, {name: path.stat().st_size for name, path in files.items()}, licence.name)
        if dry_run:
            return publication
        try:
            _upload(files, publication, private, message or f"Publish {folder.name}", tell)
        except (HfHubHTTPError, OSError, RuntimeError, ValueError) as exc:
            cause = exc.__cause__ or exc
            raise PublishError(
                f"{repo_id}: the upload did not end ({first_line(cause)}). Nothing that others see has changed. Start "
                "again: what has arrived is not sent a second time."
            ) from exc
    return publication


def check_rights(config: dict[str, Any], provenance: dict[str, Any], have_the_rights: bool) -> Licence:
    """The terms of the weights, if they let somebody publish them.

    Raises:
        LicenceError: they do not, or nobody stated them.
    """
    licence = terms_of(config, provenance)
    if licence is None and have_the_rights:
        return Licence("not stated", "", {"license": "other"})
    if licence is None:
        raise LicenceError(
            f'Nobody states the terms of these weights. Write them into {PROVENANCE}, as "license": "apache-2.0" '
            "for example, or pass --i-have-the-rights."
        )
    if licence.forbids and not have_the_rights:
        raise LicenceError(
            f"{licence.name}: {licence.forbids}. Publish the conversion command instead, or pass --i-have-the-rights "
            f"if you have them. The terms: {licence.link}"
        )
    return licence


@contextmanager
def _bundled(folder: Path, repo_id: str, licence: Licence) -> Iterator[Path]:
    """A bundle of a folder beside it, its weights as hard links, gone afterwards."""
    stage = folder.with_name(f".{folder.name}.publish")
    shutil.rmtree(stage, ignore_errors=True)  # of a killed run
    try:
        bundle_folder(folder, stage, overwrite=True)
        facts = read_json(stage / PROVENANCE)
        write_json(stage / PROVENANCE, {**licence.header, **facts, "weights_licence": licence.name})
        given = folder / "README.md"
        card = completed_card(
            given.read_text(encoding="utf-8") if given.is_file() else None,
            repo_id,
            architecture_of(read_json(stage / "config.json")["model_type"]),
            read_json(stage / PROVENANCE),
            licence,
            read_json(folder / "evaluation.json"),
        )
        (stage / "README.md").write_text(card, encoding="utf-8")
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _upload(files: dict[str, Path], publication: Publication, private: bool, message: str, tell: Tell) -> None:
    api = HfApi()
    repo_id = publication.repo_id
    api.create_repo(repo_id, private=private, exist_ok=True)
    additions = [CommitOperationAdd(name, path) for name, path in files.items()]
    sent = 0
    for addition in sorted(additions, key=lambda addition: addition.upload_info.size):
        # The Hub says which files it stores apart from git; the others travel with the commit.
        api.preupload_lfs_files(repo_id, [addition], free_memory=False)
        sent += addition.upload_info.size
        tell(f"{sent / publication.size:6.1%}  {addition.path_in_repo} ({addition.upload_info.size:,} bytes)")
    present = {sibling.rfilename for sibling in api.model_info(repo_id).siblings or ()}
    stale = sorted(present - files.keys() - {".gitattributes"})
    deletions = [CommitOperationDelete(name) for name in stale]
    commit = api.create_commit(repo_id, [*additions, *deletions], commit_message=message)
    publication.revision, publication.url = commit.oid, commit.commit_url
