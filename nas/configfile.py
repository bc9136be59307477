"""The options of a search in a YAML file."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml


class _Once(yaml.SafeLoader):
    """Of a key that stands there twice YAML takes the last, without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [key.value for key, _ in node.value]
        if twice := next((key for key in keys if keys.count(key) > 1), None):
            raise yaml.YAMLError(f"{twice} stands there twice")
        return super().construct_mapping(node, deep)


def read_yaml(path: str) -> dict[str, Any]:
    """The options of a YAML file; what a run directory's config.yaml records beside them is passed over."""
    try:
        loaded = yaml.load(Path(path).read_text(encoding="utf-8"), _Once)  # noqa: S506  # a SafeLoader
    except OSError as error:
        raise ValueError(f"--config {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"--config {path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(loaded, dict):
        raise ValueError(f"--config {path} must hold 'option: value' lines, got {type(loaded).__name__}")
    return {str(key): value for key, value in loaded.items() if key not in ("record", "identity")}
