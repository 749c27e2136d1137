"""Where the documented sample bodies are."""

from pathlib import Path

PAYLOADS = Path(__file__).parents[1] / "payloads"
