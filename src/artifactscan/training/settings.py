"""The settings of the job that fine-tunes backbones."""

from dataclasses import dataclass
from typing import Literal

from artifactscan.decode.input_spec import MAX_SIDE
from artifactscan.decode.video import DecodeLimits
from artifactscan.errors import UsageError
from artifactscan.evaluation.bootstrap import BootstrapSettings
from artifactscan.evaluation.splits import Protocol, SplitSettings
from artifactscan.evaluation.thresholds import Aim, parse_aim
from artifactscan.model.checkpoint import BACKBONES
from artifactscan.settings.groups import ClusterSettings, DeviceSettings, check_settings
from artifactscan.training.probe_settings import ProbeSettings
from artifactscan.training.recipe import TrainSettings, training_part

ALL_BACKBONES = "all"


@dataclass(frozen=True, kw_only=True)
class FinetuneSettings(TrainSettings, ProbeSettings, DeviceSettings, ClusterSettings):
    """Fine-tunes a backbone on labelled frames, measures it on frames held out, and leaves a checkpoint."""

    labels: tuple[str, ...]
    """Tables of labelled frames, .csv or .parquet; on a model hub hf://datasets/org/name@revision."""
    clips: tuple[str, ...] = ()
    """Folders or s3:// prefixes that the labels' paths start from: one for each table or one for all; none: the folder
    of each table."""
    output: str
    """Folder or s3://bucket/prefix for checkpoints, evaluations, histories and decoded frames; every machine of the
    cluster must reach it."""
    backbone: str = "resnet50"
    """resnet50, efficientnet_b3, efficientnet_b4, vit_base_patch16_224, another timm name, or all for those four."""
    init: str = "imagenet"
    """Weights to start from: imagenet (timm's), none (a seed's), a .safetensors file, a checkpoint folder, or one of
    them on a model hub (hf://org/name@revision)."""
    height: int = 0
    """Pixels; 0: the backbone's own."""
    width: int = 0
    """Pixels; 0: the backbone's own. Clips are 16:9, and 384 by 672 keeps their shape."""

    protocol: Literal["videos", "frames", "generators", "both", "all", "none"] = "videos"
    """How to measure before the checkpoint is trained: videos (k-fold, no video on both sides), frames (one random
    split, as the paper did; neighbouring frames leak), generators (one maker of clips left out at a time), both (videos
    and frames), all, or none."""
    generator_pattern: str = ""
    """Reads what made a clip from its path in the labels, such as {generator}/ or clips/{generator}_{name}.mp4, where
    the labels have no column generator; figures are then given by maker too."""
    folds: int = 5
    """Of protocol videos."""
    test_share: float = 0.2
    """Of the frames, under protocol frames."""
    tune_share: float = 0.2
    """Of the videos trained on (under frames: of the frames), kept from training to stop by; 0: none, all epochs."""
    aim: str = "prevalence"
    """What thresholds are chosen for: prevalence (flag as many frames as show the label), f1, or for example
    precision=0.5 or recall=0.8."""
    label_rule: Literal["error", "any", "all", "majority"] = "error"
    """What becomes of a frame that is labelled differently: an error, or 1 where any, all or most say so. Grades are
    averaged; under error a label is 1 from a mean of 1.5 on."""
    synthetic: int = 0
    """Drawn clips to learn from as well, each clean and with known artifacts; nothing is tuned or tested on them."""
    resamples: int = 1000
    """Bootstrap resamples over videos behind each interval; 0: no intervals."""

    workers: int = 1
    """Processes that train together, each on a GPU of its own or sharing the CPUs."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """auto: bf16 on a GPU, fp32 on a CPU."""
    max_failures: int = 3
    """Times one training goes on after a worker was lost."""
    cache: str = ""
    """Folder or s3:// prefix that keeps decoded frames; empty: OUTPUT/frames."""
    video_timeout_s: float = 600.0
    """Seconds one clip may take to decode; every frame of it is."""
    mlflow: str = ""
    """MLflow experiment that gets a run for each backbone with its settings, epochs and figures, at the server in
    MLFLOW_TRACKING_URI."""
    quiet: bool = False
    """No progress lines."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.workers < 1:
            raise UsageError(f"--workers is {self.workers}; give 1 or more")
        if self.batch_frames < self.workers:
            raise UsageError(f"--batch-frames is {self.batch_frames} for {self.workers} --workers; give each a frame")
        check_settings(self)
        self.check_probe()
        if self.train == "head" and self.synthetic:
            raise UsageError("--synthetic clips are learned from with --train all only; leave out one of the two")
        if max(self.height, self.width) > MAX_SIDE:
            raise UsageError(f"--height {self.height} and --width {self.width}: give at most {MAX_SIDE} pixels a side")
        self.threshold_aim()
        self.splitting("videos")

    def backbones(self) -> tuple[str, ...]:
        """The timm names to train, one after the other."""
        return BACKBONES if self.backbone == ALL_BACKBONES else (self.backbone,)

    def protocols(self) -> tuple[Protocol, ...]:
        """The protocols to measure by."""
        if self.protocol == "none":
            return ()
        if self.protocol == "all":
            return ("videos", "frames", "generators")
        return ("videos", "frames") if self.protocol == "both" else (self.protocol,)

    def training(self) -> TrainSettings:
        """How each model is fitted."""
        return training_part(self)

    def splitting(self, protocol: Protocol) -> SplitSettings:
        """How labelled frames are divided."""
        return SplitSettings(
            protocol=protocol,
            folds=self.folds,
            test_share=self.test_share,
            tune_share=self.tune_share,
            seed=self.seed,
        )

    def threshold_aim(self) -> Aim:
        """What thresholds are chosen for."""
        return parse_aim(self.aim)

    def bootstrap(self) -> BootstrapSettings:
        """How intervals are made."""
        return BootstrapSettings(resamples=self.resamples, seed=self.seed)

    def limits(self) -> DecodeLimits:
        """What one clip may cost to decode."""
        return DecodeLimits(video_timeout_s=self.video_timeout_s)
