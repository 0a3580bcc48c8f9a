"""Checkpoint folders: model.safetensors with the weights, card.json with what they are and how they are used."""

import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, deserialize

from artifactscan import storage
from artifactscan.decode.input_spec import InputSpec
from artifactscan.errors import CutOffError, UsageError
from artifactscan.labels import LABELS
from artifactscan.model.exported_graph import GRAPH_NAMES, INFO_NAME, ExportedGraph, graph_files, load_graph
from artifactscan.model.operating_point import OperatingPoint, auroc_on_unseen_clips, parse_operating_point
from artifactscan.model.probe_spec import ProbeSpec, parse_probe
from artifactscan.storage import hub, storage_errors
from artifactscan.storage.digest import digest

BUILTIN = "builtin"
BUILTIN_FOLDER = Path(__file__).with_name("builtin")
"""The checkpoint in this package, its model card, and the licence notice of the weights it was trained from."""
BACKBONES: tuple[str, ...] = ("resnet50", "efficientnet_b3", "efficientnet_b4", "vit_base_patch16_224")
"""timm names of the four backbones of arXiv 2504.21334; any other timm model with one linear head works too."""
CARD_VERSION = 2
"""Version 2 added ``probe`` and ``operating_point``; cards of version 1 are read as they are."""
READABLE_CARD_VERSIONS = (1, CARD_VERSION)
CARD_NAME, WEIGHTS_NAME = "card.json", "model.safetensors"
DEFAULT_THRESHOLD = 0.5
CHANCE_AUROC = 0.5
_SCORES_DEPEND_ON = ("backbone", "input", "labels", "calibration")
"""Fields of the card; with ``probe`` and the weights they decide every score."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Platt scaling of one label: probability = sigmoid(scale · logit + offset)."""

    scale: float = 1.0
    offset: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Card:
    """The content of card.json."""

    backbone: str
    """A timm model name."""
    input: InputSpec
    labels: tuple[str, ...] = LABELS
    """Logit ``i`` belongs to ``labels[i]``; always LABELS."""
    thresholds: Mapping[str, float] = field(default_factory=lambda: dict.fromkeys(LABELS, DEFAULT_THRESHOLD))
    """Per label: a frame shows it where its probability is at or over this."""
    calibration: Mapping[str, Calibration] = field(default_factory=lambda: dict.fromkeys(LABELS, Calibration()))
    operating_point: Mapping[str, OperatingPoint] = field(default_factory=dict)
    """Per label: what its threshold does on frames not trained on; empty where that was not measured."""
    probe: ProbeSpec | None = None
    """How a probe reads the backbone; None: the backbone's own linear head on its pooled features."""
    trained: bool = False
    """False for random weights, whose scores mean nothing."""
    origin: str = ""
    """Where the weights come from, as text."""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    """Measured figures and how they were obtained."""
    data_digest: str | None = None
    """Digest of the labels it was trained on."""
    trained_on: tuple[str, ...] = ()
    """Name and size of each clip it was trained on: figures measured on these are not figures on unseen videos."""
    card_version: int = CARD_VERSION

    @property
    def context_frames(self) -> int:
        """Sampled frames before and after a frame that its scores depend on."""
        return self.probe.context_frames if self.probe else 0

    def quality(self) -> str | None:
        """How such a checkpoint did on videos it had not seen, in words; None where the card does not say."""
        for protocol in ("videos", "generators"):
            try:
                figure = self.metrics["protocols"][protocol]["figures"]["macro"]["average_precision"]
                value, low, high, chance = (figure[name] for name in ("value", "low", "high", "majority"))
                return (
                    f"macro average precision {value:.2f} ({low:.2f}–{high:.2f}) on unseen videos, chance {chance:.2f}"
                )
            except (KeyError, TypeError, ValueError):
                continue
        return None

    def unproven(self) -> tuple[str, ...]:
        """The labels not shown to be told from chance on clips not trained on, in the order of LABELS.

        Those whose AUROC there has an interval that reaches 0.5 or no interval at all; of an untrained card all.
        """
        if not self.trained:
            return self.labels
        found = {label: auroc_on_unseen_clips(self.metrics, label) for label in self.labels}
        return tuple(label for label, auroc in found.items() if auroc is None or auroc[1] <= CHANCE_AUROC)


@dataclass(frozen=True, kw_only=True, repr=False)
class Checkpoint:
    """A checkpoint in memory: its card, and its weights as bytes. Picklable, so that Ray can hand it to actors."""

    card: Card
    weights: bytes
    """The content of model.safetensors."""
    graph: ExportedGraph | None = None
    """Its backbone as a graph for the CPU, if it was exported; Spec.backend has its digest."""
    known_as: str | None = None
    """The digest that a store has its scores under, where an earlier version computed it otherwise."""

    def __repr__(self) -> str:
        size = f"{self.card.input.height}x{self.card.input.width} pixels"
        trained = "trained" if self.card.trained else "not trained"
        return f"Checkpoint({self.card.backbone}, {size}, {trained}, digest {self.digest})"

    @property
    def name(self) -> str:
        """Its backbone and the first 8 hex digits of its digest, as tables name it."""
        return f"{self.card.backbone}-{self.digest[:8]}"

    @property
    def digest(self) -> str:
        """16 hex digits over all that scores depend on: the weights and five fields of the card, not its thresholds."""
        return self.known_as or self._digest

    @cached_property
    def _digest(self) -> str:
        card = asdict(self.card)
        return digest([{name: card[name] for name in (*_SCORES_DEPEND_ON, "probe")}, self._weights_digest])

    @cached_property
    def _weights_digest(self) -> str:
        """Computed once: the digests of many runs may be compared with this checkpoint's."""
        return sha256(self.weights).hexdigest()

    def digest_with_thresholds(self, thresholds: Mapping[str, float] | None = None) -> str:
        """The digest that version 0.1.0 computed, which covered the thresholds; None: those of the card."""
        card = asdict(self.card)
        if thresholds is not None:
            card["thresholds"] = dict(thresholds)
        kept = {name: card[name] for name in (*_SCORES_DEPEND_ON, "thresholds")}
        if self.card.probe is not None:
            kept["probe"] = card["probe"]
        return digest([kept, self._weights_digest])

    def known_in(self, recorded: Iterable[Mapping[str, Any]]) -> "Checkpoint":
        """This checkpoint under the digest that one of the runs which scored with it recorded; itself without one.

        ``recorded``: ``checkpoint`` of run.json (digest, and thresholds where they are known), the newest run first. Of
        several digests that of the card's own thresholds counts, else the newest.
        """
        own, found = self.digest_with_thresholds(), []
        for record in recorded:
            if record["digest"] in (self.digest, own, self.digest_with_thresholds(record.get("thresholds"))):
                found.append(record["digest"])
        if not found or self.digest == (chosen := own if own in found else found[0]):
            return self
        return replace(self, known_as=chosen)

    def tensor_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each tensor by name; UsageError for a damaged file."""
        return {name: tuple(tensor["shape"]) for name, tensor in deserialize(self.weights)}


def load_checkpoint(source: str | os.PathLike[str], *, graph: bool = True) -> Checkpoint:
    """Reads a checkpoint.

    ``source``: a folder with card.json and model.safetensors, local, s3:// or on a model hub (hf://org/name@revision:
    these files alone are downloaded, and kept in its cache); or "builtin", the one in this package.
    ``graph``: with the exported graph in that folder, if there is one.
    UsageError, naming the file, where one of the two is missing, damaged or made for other labels, and as
    ``storage.hub.fetch_folder``.
    """
    if not isinstance(source, str | os.PathLike):
        raise UsageError(f"checkpoint is {source!r}; give its folder as a path or text")
    source = os.fspath(source)
    if storage.is_hub(source):
        folder = hub.fetch_folder(source, (CARD_NAME, WEIGHTS_NAME, *(GRAPH_NAMES if graph else ())), "model")
    else:
        folder = storage.normalise(str(BUILTIN_FOLDER) if source == BUILTIN else source)
    named = source if storage.is_hub(source) else folder  # in messages: not where the cache keeps it
    card = _parse_card(_read(storage.join(folder, CARD_NAME), source), storage.join(named, CARD_NAME))
    checkpoint = Checkpoint(card=card, weights=_read(storage.join(folder, WEIGHTS_NAME), source))
    try:
        checkpoint.tensor_shapes()
    except SafetensorError as error:
        raise UsageError(
            f"checkpoint file {storage.join(named, WEIGHTS_NAME)} is damaged or cut off ({error}); copy it again"
        ) from None
    return replace(checkpoint, graph=load_graph(folder, checkpoint.digest)) if graph else checkpoint


def absolute_checkpoint(source: str) -> str:
    """``source`` as it is found from any working directory, for records."""
    return source if source == BUILTIN else storage.absolute(source)


def recorded_source(source: str) -> dict[str, str]:
    """For the checkpoint's facts in a record: ``hub``, the repository and the commit, of one that is from a hub."""
    return {"hub": source} if storage.is_hub(source) else {}


def checkpoint_files(checkpoint: Checkpoint) -> dict[str, bytes]:
    """Name → content of the files of a checkpoint folder, in the order in which they are written: the card last."""
    return {
        WEIGHTS_NAME: checkpoint.weights,
        **(graph_files(checkpoint.graph) if checkpoint.graph is not None else {}),
        CARD_NAME: json.dumps(asdict(checkpoint.card), indent=2).encode(),
    }


def save_checkpoint(checkpoint: Checkpoint, folder: str) -> None:
    """Writes a checkpoint folder, local or s3://; the card last, so that a folder with a card is complete.

    An exported graph of another checkpoint in that folder goes.

    CutOffError where it cannot be written; the folder then has no card.
    """
    folder = storage.normalise(folder)
    card_uri = storage.join(folder, CARD_NAME)
    try:
        storage.remove_tree(card_uri)  # it may be that of another checkpoint
        storage.remove_tree(storage.join(folder, INFO_NAME))
        for name, content in checkpoint_files(checkpoint).items():
            storage.write_bytes(storage.join(folder, name), content)
    except OSError as error:
        reason = storage_errors.describe(error, folder)
        raise CutOffError(
            f"checkpoint {folder} cannot be written: {reason}; make room or fix the cause, and give the same command"
        ) from None


def _read(uri: str, source: str) -> bytes:
    try:
        return storage.read_bytes(uri)
    except (FileNotFoundError, NotADirectoryError):
        name = uri.rsplit("/", 1)[-1]
        raise UsageError(
            f"checkpoint {source} has no {name}; give a folder with {WEIGHTS_NAME} and {CARD_NAME}, or `{BUILTIN}`"
        ) from None
    except OSError as error:
        raise UsageError(f"checkpoint file {uri} cannot be read: {storage_errors.describe(error, uri)}") from None


def _parse_card(data: bytes, uri: str) -> Card:
    try:
        values = json.loads(data)
        if not isinstance(values, dict):
            raise TypeError(f"it holds {type(values).__name__}, not an object")
        return _check_card(values)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"checkpoint card {uri} is damaged or cut off ({error}); copy it again") from None
    except KeyError as error:
        raise UsageError(f"checkpoint card {uri} has no {error}; add it, or save the checkpoint again") from None
    except (ValueError, TypeError, AttributeError) as error:
        raise UsageError(f"checkpoint card {uri} cannot be used: {error}") from None


def is_card(data: bytes) -> bool:
    """Whether it is a card.json, of this version or another."""
    try:
        values = json.loads(data)
    except ValueError:
        return False
    return isinstance(values, dict) and {"card_version", "backbone", "labels"} <= values.keys()


def _check_card(values: dict[str, Any]) -> Card:
    version = values["card_version"]
    if version not in READABLE_CARD_VERSIONS:
        known = " and ".join(map(str, READABLE_CARD_VERSIONS))
        raise ValueError(f"its version is {version}, this artifactscan reads {known}; upgrade artifactscan")
    if (labels := values["labels"]) != list(LABELS):
        raise ValueError(f"its labels are {labels}, not {list(LABELS)}; put them in this order and refit the head")
    if unknown := sorted(values.keys() - {one.name for one in fields(Card)}):
        raise ValueError(f"its field {unknown[0]!r} is unknown; remove it")
    if not isinstance(values["backbone"], str):
        raise TypeError(f"its backbone is {values['backbone']!r}, not the name of a timm model")
    values |= {
        "card_version": CARD_VERSION,
        "labels": tuple(labels),
        "trained_on": tuple(values.get("trained_on", ())),
        "probe": parse_probe(values.get("probe")),
        "input": _input_spec(values["input"]),
        "operating_point": parse_operating_point(values.get("operating_point", {})),
        "thresholds": {label: _threshold(label, values["thresholds"]) for label in LABELS},
        "calibration": {label: _calibration(label, values["calibration"]) for label in LABELS},
    }
    return Card(**values)


def _input_spec(values: dict[str, Any]) -> InputSpec:
    triples = {name: tuple(values[name]) for name in ("mean", "std") if name in values}
    return InputSpec(**{**values, **triples})


def _threshold(label: str, thresholds: Mapping[str, Any]) -> float:
    value = thresholds[label]
    if not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"the threshold of {label} is {value!r}, not a number from 0 to 1")
    return float(value)


def _calibration(label: str, calibrations: Mapping[str, Any]) -> Calibration:
    calibration = Calibration(**calibrations[label])
    for name, value in asdict(calibration).items():
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"the calibration of {label} has {name} {value!r}, not a finite number")
    return calibration
