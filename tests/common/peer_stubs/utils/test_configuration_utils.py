# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Stands in for the values that the configuration tester sets and reads back, on configurations without parts."""

# No value is the library's default, so that a configuration which drops one is caught.
config_common_kwargs = {
    "return_dict": False,
    "output_hidden_states": True,
    "dtype": "float16",
    "id2label": {0: "first", 1: "second"},
    "label2id": {"first": 0, "second": 1},
}
