# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Which tensor of which original file becomes which tensor of Video-LLaMA: the tables of `convert_video_llama`."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from video_lmms.conversion_scripts.conversion import ConversionError, Recipe, SourceTensor, check_dtypes
from video_lmms.errors import shorten


VISION = "model.vision_tower."
LAYERS = VISION + "encoder.layers."
# Original name -> target, one table per kind of file; in each, the first line that matches applies.
Table = tuple[tuple[str, str], ...]


def qformer_names(original: str, target: str) -> Table:
    """Lines of the table for a Q-Former, which was a BERT with its text half cut away."""
    transformer = f"{target}.transformer."
    return (
        (rf"^{original}\.bert\.embeddings\.LayerNorm\.", f"{transformer}layernorm."),
        (
            rf"^{original}\.bert\.encoder\.layer\.(\d+)\.(attention|crossattention)\.self\.",
            rf"{transformer}encoder.layer.\1.\2.attention.",
        ),
        (
            rf"^{original}\.bert\.encoder\.layer\.(\d+)\.((?:cross)?attention\.output|intermediate_query|output_query)\.",
            rf"{transformer}encoder.layer.\1.\2.",
        ),
    )


VIT: Table = (
    (r"^cls_token$", VISION + "embeddings.class_embedding"),
    (r"^pos_embed$", VISION + "embeddings.position_embedding"),
    (r"^patch_embed\.proj\.", VISION + "embeddings.patch_embedding."),
    (r"^blocks\.(\d+)\.norm([12])\.", LAYERS + r"\1.layer_norm\2."),
    (r"^blocks\.(\d+)\.attn\.qkv\.", LAYERS + r"\1.self_attn.qkv."),
    # Both go into the one bias of the joint projection, which has zeros for the keys between them.
    (r"^blocks\.(\d+)\.attn\.q_bias$", LAYERS + r"\1.self_attn.qkv.bias"),
    (r"^blocks\.(\d+)\.attn\.v_bias$", LAYERS + r"\1.self_attn.qkv.bias"),
    (r"^blocks\.(\d+)\.attn\.proj\.", LAYERS + r"\1.self_attn.projection."),
    (r"^blocks\.(\d+)\.mlp\.", LAYERS + r"\1.mlp."),
)
QFORMER: Table = (
    (r"^query_tokens$", "model.qformer.query_tokens"),
    (r"^ln_vision\.", VISION + "post_layernorm."),
    *qformer_names("Qformer", "model.qformer"),
)
LLAMA: Table = ((r"^model\.", "model.language_model."), (r"^lm_head\.", "lm_head."))
PROJECTOR: Table = ((r"^llama_proj\.", "model.video_qformer.projector."),)
VIDEO_BRANCH: Table = (
    *PROJECTOR,
    (r"^video_frame_position_embedding\.", "model.video_qformer.position_embedding."),
    (r"^video_query_tokens$", "model.video_qformer.qformer.query_tokens"),
    *qformer_names("video_Qformer", "model.video_qformer.qformer"),
)
AUDIO_BRANCH: Table = (
    (r"^audio_llama_proj\.", "model.audio_qformer.projector."),
    (r"^audio_position_embedding\.", "model.audio_qformer.position_embedding."),
    (r"^audio_query_tokens$", "model.audio_qformer.qformer.query_tokens"),
    *qformer_names("audio_Qformer", "model.audio_qformer.qformer"),
)


def imagebind_names(modality: str, target: str) -> Table:
    """Lines of the table for one of ImageBind's towers."""
    stem = rf"^modality_preprocessors\.{modality}\."
    block = rf"^modality_trunks\.{modality}\.blocks\.(\d+)\."
    return (
        (stem + r"cls_token$", f"{target}.embeddings.class_embedding"),
        (stem + r"pos_embedding_helper\.pos_embed$", f"{target}.embeddings.position_embedding"),
        (stem + r"rgbt_stem\.proj\.(?:1\.)?weight$", f"{target}.embeddings.patch_embedding.weight"),
        (stem + r"rgbt_stem\.norm_layer\.", f"{target}.embeddings.layernorm."),
        (rf"^modality_trunks\.{modality}\.pre_transformer_layer\.0\.", f"{target}.embeddings.layernorm."),
        (block + r"attn\.in_proj_(weight|bias)$", rf"{target}.layers.\1.attn.qkv.\2"),
        (block + r"attn\.bias_k$", rf"{target}.layers.\1.attn.bias_key"),
        (block + r"attn\.bias_v$", rf"{target}.layers.\1.attn.bias_value"),
        (block + r"attn\.out_proj\.", rf"{target}.layers.\1.attn.proj."),
        (block + r"norm_([12])\.", rf"{target}.layers.\1.norm\2."),
        (block + r"mlp\.", rf"{target}.layers.\1.mlp."),
        (rf"^modality_heads\.{modality}\.0\.", f"{target}.head.layernorm."),
        (rf"^modality_heads\.{modality}\.2\.", f"{target}.head.projection."),
        (rf"^modality_postprocessors\.{modality}\.1\.", f"{target}."),
    )


IMAGEBIND_AUDIO = imagebind_names("audio", "model.audio_tower")
IMAGEBIND_VISION = imagebind_names("vision", "model.audio_training_tower")

# Names that may stay unused, per kind of file.
# BERT's text half, which the original loads and deletes; FLAN-T5's projection.
UNUSED_BERT = (
    r"^\w+\.bert\.embeddings\.(?:position_ids|word_embeddings|position_embeddings)|^\w+\.cls\."
    r"|^\w+\.bert\.encoder\.layer\.\d+\.(?:intermediate|output)\."
)
UNUSED_QFORMER = re.compile(rf"{UNUSED_BERT}|^t5_proj\.")
UNUSED_VIT = re.compile(r"^(?:norm|fc_norm|head)\.")
UNUSED_LLAMA = re.compile(r"\.rotary_emb\.inv_freq$")
# The trainer saved every buffer of the whole model.
UNUSED_BRANCH = re.compile(
    rf"{UNUSED_BERT}|^llama_model\..*\.rotary_emb\.inv_freq$|^audio_encoder\..*\.(?:mask|log_logit_scale)$"
)
UNUSED_MINIGPT4 = re.compile(rf"{UNUSED_BRANCH.pattern}|^(?:query_tokens|ln_vision\.|Qformer\.)")


@dataclass
class Piece:
    """One original file, or folder of shards, and what became of it.

    Attributes:
        role: what the file is for, as the converter's option names it.
        tensors: all of it.
        table: names that are used.
        unused: names that may stay unused.
        used: names of tensors that the model is made of.
        overridden: names that a later file replaced.
        ignored: names that were deliberately left out.
    """

    role: str
    tensors: Mapping[str, SourceTensor]
    table: Table
    unused: re.Pattern
    used: list[str] = field(default_factory=list)
    overridden: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)

    def target(self, name: str) -> str | None:
        """Name in the model; None for a tensor that is deliberately unused.

        Raises:
            ConversionError: a name that belongs into no such file.
        """
        if self.unused.search(name):
            return None
        for pattern, replacement in self.table:
            if re.search(pattern, name):
                return re.sub(pattern, replacement, name)
        file = self.tensors[name].file
        raise ConversionError(
            f"{name} in {file.name} is no tensor that --{self.role} should hold: is this the right file?"
        )

    def report(self) -> dict:
        """For `provenance.json`."""
        counts = {"used": len(self.used), "overridden": sorted(self.overridden), "unused": sorted(self.ignored)}
        return {"files": sorted({tensor.file.name for tensor in self.tensors.values()}), **counts}


def unused_blocks(depth: int) -> re.Pattern:
    """What the encoder's file holds beyond the blocks that are built, and its unused end."""
    built = "|".join(map(str, range(depth)))
    return re.compile(rf"{UNUSED_VIT.pattern}|^blocks\.(?!(?:{built})\.)\d+\.")


def joint_bias(query: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Bias of the joint projection: keys have none."""
    return torch.cat([query, torch.zeros_like(query), value])


def append_rows(rows: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """The builder of a table with rows of zeros behind its own."""
    return lambda table: torch.cat([table, table.new_zeros(rows, table.shape[1])])


def add_delta(rows: int = 0) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """The builder of base + delta in float16, as the published script adds them; `rows` of zeros are appended last.

    A delta with one more row than its base brings the row of its padding token.
    """

    def build(base: torch.Tensor, delta: torch.Tensor) -> torch.Tensor:
        base, delta = base.half(), delta.half()
        if len(base) < len(delta):
            base = append_rows(len(delta) - len(base))(base)
        merged = base + delta
        return append_rows(rows)(merged) if rows else merged

    return build


def resize_positions(grid: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """The builder of a position table for another image size: the class row stays, the grid is resized as at load."""

    def build(table: torch.Tensor) -> torch.Tensor:
        first, patches = table[:, :1].float(), table[:, 1:].float()
        side = round(patches.shape[1] ** 0.5)
        square = patches.unflatten(1, (side, side)).permute(0, 3, 1, 2)
        square = torch.nn.functional.interpolate(square, size=(grid, grid), mode="bicubic", align_corners=False)
        return torch.cat([first, square.flatten(2).transpose(1, 2)], dim=1)

    return build


def plan_pieces(pieces: Sequence[Piece], grid: int) -> dict[str, Recipe]:
    """Recipes of all tensors but the language model's; a later piece replaces what an earlier one gave.

    Args:
        pieces: in the original's load order.
        grid: patches along a side of the frame.

    Raises:
        ConversionError: a foreign tensor, one that is doubled, or one of an unusable dtype.
    """
    recipes: dict[str, Recipe] = {}
    givers: dict[str, tuple[Piece, str]] = {}
    for piece in pieces:
        for name, tensor in piece.tensors.items():
            target = piece.target(name)
            if target is None:
                piece.ignored.append(name)
                continue
            piece.used.append(name)
            earlier = givers.get(target)
            if name.endswith(".attn.v_bias") and earlier is not None:
                query = recipes[target].sources[0]
                if tensor.shape != query.shape:
                    raise ConversionError(
                        f"{name} in {tensor.file.name} has shape {tensor.shape}, but {query.name} has {query.shape}."
                    )
                recipes[target] = Recipe((query, tensor), joint_bias, (3 * query.shape[0],))
                continue
            if earlier is not None and earlier[0] is piece:
                raise ConversionError(f"{name} and {earlier[1]} in {tensor.file.name} are the same weight.")
            if earlier is not None:
                earlier[0].used.remove(earlier[1])
                earlier[0].overridden.append(earlier[1])
            recipes[target] = Recipe((tensor,))
            givers[target] = (piece, name)
        used = [piece.tensors[name] for name in piece.used]
        check_dtypes(used, lambda _, piece=piece: f"--{piece.role}")
    positions = VISION + "embeddings.position_embedding"
    if positions in recipes:
        (table,) = recipes[positions].sources
        if table.shape[1] != grid**2 + 1:
            recipes[positions] = Recipe((table,), resize_positions(grid), (1, grid**2 + 1, table.shape[2]))
    return recipes


def plan_language_model(piece: Piece, delta: Piece | None, rows: int, tied: bool) -> dict[str, Recipe]:
    """Recipes of the language model: merged with a delta where there is one, with rows for placeholders.

    Args:
        piece: the language model, or the base that the delta was made for.
        delta: what is added to it.
        rows: appended to the embedding table and the head.
        tied: whether the head is the embedding table.

    Raises:
        ConversionError: base and delta differ by more than one row, or in their names.
    """
    for part in (piece, delta) if delta else (piece,):
        for name in part.tensors:
            target = part.target(name)
            unused = target is None or (tied and target == "lm_head.weight")
            (part.ignored if unused else part.used).append(name)
        check_dtypes([part.tensors[name] for name in part.used], lambda _, part=part: f"--{part.role}")
    if delta is not None and set(piece.used) != set(delta.used):
        odd = sorted(set(piece.used) ^ set(delta.used))
        raise ConversionError(f"--llama and --vicuna-delta do not hold the same tensors: {shorten(odd)}.")
    recipes = {}
    for name in piece.used:
        base, table = piece.tensors[name], name in ("model.embed_tokens.weight", "lm_head.weight")
        appended = rows if table else 0
        if delta is None:
            shape = (base.shape[0] + appended, *base.shape[1:])
            recipe = Recipe((base,), append_rows(appended), shape) if appended else Recipe((base,))
        else:
            change = delta.tensors[name]
            gained = change.shape[0] - base.shape[0]
            if change.shape[1:] != base.shape[1:] or gained not in ((0, 1) if table else (0,)):
                raise ConversionError(
                    f"{name} has shape {base.shape} in --llama and {change.shape} in --vicuna-delta, which may only "
                    "add one row for the padding token: the delta was made for another base."
                )
            shape = (change.shape[0] + appended, *change.shape[1:])
            recipe = Recipe((base, change), add_delta(appended), shape)
        recipes[piece.target(name)] = recipe
    return recipes
