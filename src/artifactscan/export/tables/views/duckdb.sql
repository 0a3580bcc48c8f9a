-- Views over the tables of a store, for DuckDB. The paths are those below the folder of the store:
--
--     cd STORE && duckdb -init duckdb.sql
--
-- `artifactscan export STORE --to views --output FOLDER` writes them with the store's own path in place of "./".
-- Only committed runs count: those that have a run.json.

CREATE OR REPLACE VIEW runs AS
SELECT
  run, spec_digest AS spec, scope_digest AS scope,
  checkpoint.backbone || '-' || left(checkpoint.digest, 8) AS checkpoint, started, finished
FROM read_json(
  './runs/*/run.json', format = 'unstructured',
  columns = {
    run: 'VARCHAR', spec_digest: 'VARCHAR', scope_digest: 'VARCHAR',
    checkpoint: 'STRUCT(backbone VARCHAR, digest VARCHAR)', started: 'VARCHAR', finished: 'VARCHAR'
  }
);

CREATE OR REPLACE VIEW frames AS
SELECT
  video_id, uri, frame_index, pts_s, p_boundary, p_texture, p_motion, p_object,
  runs.spec, runs.checkpoint, runs.run
FROM read_parquet(
  './frames/run=*/*.parquet', hive_partitioning = true, hive_types = {'run': VARCHAR}, union_by_name = true
) AS stored
JOIN runs ON runs.run = stored.run;

CREATE OR REPLACE VIEW videos AS
SELECT
  video_id, uri, size_bytes, etag, modified, outcome, reason,
  decoder, container, codec, width, height, rotation_deg, fps, duration_s, frames_in_video, frames_sampled,
  frames_decoded, packets_damaged, fetch_s, decode_s, settled_run, settled_outcome,
  mean_boundary, max_boundary, frames_over_boundary, mean_texture, max_texture, frames_over_texture,
  mean_motion, max_motion, frames_over_motion, mean_object, max_object, frames_over_object,
  runs.spec, runs.checkpoint, runs.run
FROM read_parquet(
  './videos/run=*/*.parquet', hive_partitioning = true, hive_types = {'run': VARCHAR}, union_by_name = true
) AS stored
JOIN runs ON runs.run = stored.run;

CREATE OR REPLACE VIEW events AS
SELECT
  video_id, uri, label, start_s, end_s, peak, peak_frame,
  runs.spec, runs.checkpoint, runs.run
FROM read_parquet(
  './events/run=*/*.parquet', hive_partitioning = true, hive_types = {'run': VARCHAR}, union_by_name = true
) AS stored
JOIN runs ON runs.run = stored.run;

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
