# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on
# an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""How many tokens a LongVU frame costs, from its size alone."""


def frame_token_count(size: tuple[float, float], side: int) -> int:
    """Tokens of a frame on a side x side grid: cells of the picture without its padding, and a newline per row.

    Args:
        size: the first entry acts as width, the second as height.
        side: of the grid over the padded square.
    """
    width, height = size
    # The order of operations is the original's, and the model's: it decides about half cells.
    if width / height > 1:
        scale = side / width
        rows, columns = side - 2 * ((side - int(height * scale)) // 2), side
    else:
        scale = side / height
        rows, columns = side, side - 2 * ((side - int(width * scale)) // 2)
    if rows <= 0 or columns <= 0:
        rows = columns = side
    return rows * (columns + 1)


def lowres_token_count(size: tuple[float, float], side: int, lowres: int) -> int:
    """Likewise at low resolution: `lowres` is the side of that grid, `side` of the full one."""
    width, height = (int(edge / (side / lowres)) for edge in size)
    return frame_token_count((width, max(1, height)), lowres)


__all__ = ["frame_token_count", "lowres_token_count"]
