"""What a model is told beside the audio: its language, and of attention decoders the task."""

from __future__ import annotations

from typing import Any

from speechkit.errors import UsageError

UNSAID = {"source_lang": "en", "target_lang": "en", "task": "asr", "pnc": "yes"}  # as NeMo's files


def is_attention_decoder(model: Any) -> bool:
    """Canary and its kin, which are told what to do in a dialog."""
    return hasattr(model, "prompt")


def has_aligner(model: Any) -> bool:
    return getattr(model, "timestamps_asr_model", None) is not None


def require_known(model: Any, language: str | None, dataloader: str) -> None:
    """Raises `UsageError` for a language that the model doesn't take, or a loader that it can't be
    told the language by."""
    languages = _languages(model)
    if is_attention_decoder(model):
        if dataloader == "manifest":
            raise UsageError("--dataloader manifest: not for a model with an attention decoder")
    elif languages:
        if dataloader != "direct":
            raise UsageError(f"--dataloader {dataloader}: not for a model that takes a language")
        if (language or "auto") not in languages:
            said = f"--language {language}" if language else "without --language"
            raise UsageError(f"{said}: this model has {', '.join(sorted(languages))}")
    elif language:
        raise UsageError(f"--language {language}: this model takes no language")


def tell(model: Any, config: Any, language: str | None, *, times: bool) -> None:
    """Completes a transcribe configuration. ``times``: the model is to write them itself."""
    if is_attention_decoder(model):
        slots: dict[str, str] = {}
        for turn in model.prompt.get_default_dialog_slots():
            if turn["role"] == "user":
                missing = [name for name, value in turn["slots"].items() if value is None]
                slots |= {name: UNSAID[name] for name in missing if name in UNSAID}
        if language:
            slots |= {"source_lang": language, "target_lang": language}
        if times and "timestamp" in model.prompt.get_slots("user"):
            slots["timestamp"] = "yes"
        config.prompt = [{"role": "user", "slots": slots}] if slots else []
    elif _languages(model):
        config.target_lang = language or "auto"


def _languages(model: Any) -> list[str]:
    """Of transducers that are conditioned on one."""
    return list(model.cfg.get("model_defaults", {}).get("prompt_dictionary") or ())
