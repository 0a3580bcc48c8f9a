-- Views over the tables of a store on S3, for Athena; run one statement after the other in a database of their own.
--
-- `artifactscan export STORE --to views --output FOLDER` fills in the store, and the committed runs: Athena reads the
-- partitions that it is told of, so that a run which is cut off or under way is not seen. Once there are new runs,
-- write the file anew and run it again: it adds what is missing.

CREATE EXTERNAL TABLE IF NOT EXISTS frames (
  video_id string, uri string, frame_index int, pts_s double, p_boundary float, p_texture float, p_motion float,
  p_object float, spec string, checkpoint string
)
PARTITIONED BY (run string)
STORED AS PARQUET
LOCATION '{store}/frames/';

CREATE EXTERNAL TABLE IF NOT EXISTS videos (
  video_id string, uri string, size_bytes bigint, etag string, modified timestamp, outcome string, reason string,
  decoder string, container string, codec string, width int, height int, rotation_deg int, fps double,
  duration_s double, frames_in_video int, frames_sampled int, frames_decoded int, packets_damaged int,
  fetch_s double, decode_s double, settled_run string, settled_outcome string,
  mean_boundary float, max_boundary float, frames_over_boundary int,
  mean_texture float, max_texture float, frames_over_texture int,
  mean_motion float, max_motion float, frames_over_motion int,
  mean_object float, max_object float, frames_over_object int,
  spec string, checkpoint string
)
PARTITIONED BY (run string)
STORED AS PARQUET
LOCATION '{store}/videos/';

CREATE EXTERNAL TABLE IF NOT EXISTS events (
  video_id string, uri string, label string, start_s double, end_s double, peak float, peak_frame int,
  spec string, checkpoint string
)
PARTITIONED BY (run string)
STORED AS PARQUET
LOCATION '{store}/events/';

ALTER TABLE frames ADD IF NOT EXISTS{partitions};

ALTER TABLE videos ADD IF NOT EXISTS{partitions};

ALTER TABLE events ADD IF NOT EXISTS{partitions};

CREATE OR REPLACE VIEW runs AS
SELECT run, spec, scope, checkpoint, started, finished
FROM (VALUES
  {runs}
) AS committed (run, spec, scope, checkpoint, started, finished);

-- Views

-- The latest score of each video, by uri and spec: the row of the run that scored the version listed last.
CREATE OR REPLACE VIEW latest_scores AS
SELECT
  scored.uri, scored.spec, scored.checkpoint, scored.video_id, scored.run, scored.outcome, scored.duration_s,
  scored.frames_decoded,
  scored.mean_boundary, scored.max_boundary, scored.frames_over_boundary,
  scored.mean_texture, scored.max_texture, scored.frames_over_texture,
  scored.mean_motion, scored.max_motion, scored.frames_over_motion,
  scored.mean_object, scored.max_object, scored.frames_over_object
FROM (
  SELECT
    uri, spec, video_id, coalesce(settled_run, run) AS scored_run,
    row_number() OVER (PARTITION BY uri, spec ORDER BY run DESC) AS age
  FROM videos
  WHERE coalesce(settled_outcome, outcome) IN ('scored', 'partial')
) AS listed
JOIN videos AS scored ON scored.video_id = listed.video_id AND scored.run = listed.scored_run
WHERE listed.age = 1 AND scored.outcome <> 'unchanged';

-- The events of the videos that the last run of each scope listed, in the version listed, by the latest spec.
CREATE OR REPLACE VIEW open_events AS
SELECT
  found.uri, found.label, found.start_s, found.end_s, found.peak, found.peak_frame, found.video_id, found.run,
  found.spec, found.checkpoint
FROM (
  SELECT
    video_id, coalesce(settled_run, run) AS scored_run,
    row_number() OVER (PARTITION BY uri ORDER BY run DESC) AS age
  FROM videos
  WHERE run IN (SELECT max(run) FROM runs WHERE spec = (SELECT max_by(spec, run) FROM runs) GROUP BY scope)
) AS listed
JOIN events AS found ON found.video_id = listed.video_id AND found.run = listed.scored_run
WHERE listed.age = 1;

-- The ledger in counts: videos and scored frames of each outcome, by run and the day it began.
CREATE OR REPLACE VIEW ledger_by_night AS
SELECT
  runs.run, TRY_CAST(substr(runs.started, 1, 10) AS DATE) AS night, runs.spec, videos.outcome, count(*) AS videos,
  coalesce(sum(CASE WHEN videos.outcome IN ('scored', 'partial') THEN videos.frames_decoded END), 0) AS frames
FROM videos
JOIN runs ON runs.run = videos.run
GROUP BY runs.run, runs.started, runs.spec, videos.outcome;
