"""Tiny NeMo models of spoken digits: OUTPUT/nemo-ctc.nemo, a Conformer, OUTPUT/nemo-rnnt.nemo, a
transducer over its encoder, and OUTPUT/nemo-held-out.jsonl, what they were not trained on."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import jiwer
import numpy as np
import sentencepiece
import soundfile
import torch
from nemo.collections.asr.models import ASRModel, EncDecCTCModelBPE, EncDecRNNTBPEModel
from nemo.utils import logging as nemo_logging
from omegaconf import DictConfig

from speechkit.engines.asr.nemo import checkpoint

from . import digits
from .made import made, recipe_of
from .nemo_audio import Mixer
from .nemo_training import PARTS, Recipe, Trainer

WORST = 0.06  # word error rate of the held-out digits
WIDTH = 96
PIECES = 32  # of the vocabulary, at most
CTC = Recipe(updates=300, rate=4e-3)
RNNT = Recipe(updates=100, rate=2e-3)
FURTHER = Recipe(updates=150, rate=2e-3)  # where that has not been enough
MOST = 4  # times that a model is trained further

MODEL = {
    "sample_rate": digits.RATE,
    "preprocessor": {
        "_target_": "nemo.collections.asr.modules.AudioToMelSpectrogramPreprocessor",
        "sample_rate": digits.RATE,
        "normalize": "per_feature",
        "window_size": 0.025,
        "window_stride": 0.01,
        "window": "hann",
        "features": 64,
        "n_fft": 512,
        "dither": 0.0,
        "pad_to": 0,
    },
    "encoder": {
        "_target_": "nemo.collections.asr.modules.ConformerEncoder",
        "feat_in": 64,
        "n_layers": 3,
        "d_model": WIDTH,
        "subsampling": "striding",
        "subsampling_factor": 4,
        "subsampling_conv_channels": 32,
        "ff_expansion_factor": 4,
        "self_attention_model": "rel_pos",
        "n_heads": 4,
        "conv_kernel_size": 15,
        "dropout": 0.0,
        "dropout_emb": 0.0,
        "dropout_att": 0.0,
    },
    "decoding": {"strategy": "greedy_batch", "greedy": {"max_symbols": 10}},
    "validation_ds": {"defer_setup": True},
    "optim": None,
}
CTC_DECODER = {
    "_target_": "nemo.collections.asr.modules.ConvASRDecoder",
    "feat_in": WIDTH,
    "num_classes": -1,
    "vocabulary": [],
}
TRANSDUCER = {
    "model_defaults": {"enc_hidden": WIDTH, "pred_hidden": 64, "joint_hidden": 2 * WIDTH},
    "decoder": {
        "_target_": "nemo.collections.asr.modules.RNNTDecoder",
        "normalization_mode": None,
        "random_state_sampling": False,
        "blank_as_pad": True,
        "prednet": {"pred_hidden": 64, "pred_rnn_layers": 1, "t_max": None, "dropout": 0.0},
    },
    "joint": {
        "_target_": "nemo.collections.asr.modules.RNNTJoint",
        "log_softmax": None,
        "preserve_memory": False,
        "fuse_loss_wer": False,
        "fused_batch_size": -1,
        "jointnet": {"joint_hidden": 2 * WIDTH, "activation": "relu", "dropout": 0.0},
    },
    "loss": {"loss_name": "default", "warprnnt_numba_kwargs": {"fastemit_lambda": 0.0}},
}


def make(output: Path, data: Path) -> None:
    """Trains and measures the models, unless they are there. Exits where one has not learnt the
    digits."""
    words = digits.load(data)
    noises = digits.load_noise(data, held_out=False)
    recipe = recipe_of("nemo", ("nemo_toolkit", "sentencepiece"), words, noises)
    with made(output, "nemo", recipe) as folder:
        if folder is None:
            return
        nemo_logging.setLevel(nemo_logging.ERROR)
        training = [word for word in words if not word.held_out]
        held_out = [word for word in words if word.held_out]
        print(f"training on {len(training)} recordings, with {len(held_out)} held out")
        mixers = [Mixer(training, noises, seed) for seed in range(PARTS)]
        tokenizer = {"dir": str(build_tokenizer(folder / "tokenizer")), "type": "bpe"}
        torch.manual_seed(1)
        ctc = EncDecCTCModelBPE(
            DictConfig({**MODEL, "tokenizer": tokenizer, "decoder": CTC_DECODER})
        )
        teach(ctc, mixers, CTC, held_out, folder / "nemo-ctc.nemo")
        rnnt = EncDecRNNTBPEModel(DictConfig({**MODEL, "tokenizer": tokenizer, **TRANSDUCER}))
        begin_as(rnnt, ctc)
        teach(rnnt, mixers, RNNT, held_out, folder / "nemo-rnnt.nemo")
        digits.write_manifest(held_out, folder / "nemo-held-out.jsonl")


def teach(
    model: ASRModel, mixers: list[Mixer], recipe: Recipe, held_out: list[digits.Word], file: Path
) -> None:
    """Trains until it has learnt the digits: what other machines compute differs a little."""
    trainer = Trainer(model, mixers)
    for course in (recipe, *[FURTHER] * MOST):
        trainer.train(course)
        model.save_to(str(file))
        rate = word_error_rate(file, held_out)
        print(f"word error rate of {file.stem} on {len(held_out)} held-out digits: {rate:.3f}")
        if rate < WORST:
            return
    sys.exit(f"The word error rate is not below {WORST}: {file.parent} is left as it is.")


def begin_as(rnnt: EncDecRNNTBPEModel, ctc: EncDecCTCModelBPE) -> None:
    """The transducer says in each frame what the CTC model does: it only has to learn what it has
    said already. ReLU(x) - ReLU(-x) is x, so that the joint network can be the CTC decoder."""
    rnnt.encoder.load_state_dict(ctc.encoder.state_dict())
    decoder = ctc.decoder.decoder_layers[0]
    weight, one = decoder.weight.detach().squeeze(-1), torch.eye(WIDTH)
    with torch.no_grad():
        rnnt.joint.enc.weight.copy_(torch.cat([one, -one]))
        rnnt.joint.enc.bias.zero_()
        rnnt.joint.pred.weight.zero_()
        rnnt.joint.pred.bias.zero_()
        rnnt.joint.joint_net[-1].weight.copy_(torch.cat([weight, -weight], dim=1))
        rnnt.joint.joint_net[-1].bias.copy_(decoder.bias)


def build_tokenizer(folder: Path) -> Path:
    """A SentencePiece model of strings of digits, in a folder as NeMo takes it."""
    folder.mkdir()
    random = np.random.default_rng(1)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=(" ".join(random.choice(digits.NAMES, 6)) for _ in range(500)),
        model_prefix=str(folder / "tokenizer"),
        vocab_size=PIECES,
        hard_vocab_limit=False,
        bos_id=-1,
        eos_id=-1,
        minloglevel=2,
    )
    model = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    pieces = [model.id_to_piece(index) for index in range(1, len(model))]
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    return folder


def word_error_rate(file: Path, words: list[digits.Word]) -> float:
    """As NeMo transcribes."""
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    model = checkpoint.restore(file, torch.device("cpu"))
    with tempfile.TemporaryDirectory() as folder:  # NeMo pads arrays, but not files
        paths = [f"{folder}/{index}.wav" for index in range(len(words))]
        for path, word in zip(paths, words, strict=True):
            soundfile.write(path, word.samples, digits.RATE, subtype="FLOAT")
        heard = model.transcribe(paths, batch_size=32, verbose=False)
    rate: float = jiwer.wer([word.text for word in words], [one.text for one in heard])
    return rate
