"""The statements of `sagalog`. Each is a transaction of its own, unless one is open.

A version is only compared for equality; it starts anew long before its column is full, so that no
row, whatever stands in it, makes a statement for many fail.
"""

_READ = """
    saga.saga_id, saga.name, saga.version, saga.status, definition_id, context::text, position,
    direction, faults, failure_step, failure_code, failure_detail, failure_undone,
    stop_requested_at IS NOT NULL,
    extract(epoch FROM deadline_at - now())::float8,
    extract(epoch FROM coalesce(asked_at, updated_at))::float8,
    extract(epoch FROM now() - asked_at)::float8
"""

SESSION = """
    SELECT set_config(name, 'off', false)
    FROM unnest('{enable_bitmapscan, enable_sort, jit}'::text[]) AS name
"""

START = """
    WITH defined AS (
        INSERT INTO saga_orchestrator_definition (digest, name, steps)
        VALUES (%s, %s, %s::jsonb) ON CONFLICT (digest) DO NOTHING
    )
    INSERT INTO saga_orchestrator_saga
           (saga_id, name, definition_id, current_step, deadline_at, status,
            pattern, subject, context)
    SELECT context ->> 'saga_id', %s, %s, %s, now() + make_interval(secs => %s), 'pending',
           context ->> 'pattern', context ->> 'subject', context
    FROM jsonb_array_elements(%s::jsonb) AS context
    ORDER BY 1
    ON CONFLICT (saga_id) DO NOTHING
    RETURNING saga_id
"""

STEPS = "SELECT steps::text FROM saga_orchestrator_definition WHERE digest = %s"

BEAT = """
    INSERT INTO saga_orchestrator_runner (id, host, pid)
    VALUES (coalesce(%s::bigint, nextval('saga_orchestrator_runner_id_seq')), %s, %s)
    ON CONFLICT (id) DO UPDATE SET seen_at = now()
    RETURNING id, (SELECT count(*) FROM saga_orchestrator_saga WHERE parked_at IS NOT NULL)
"""

# What a runner may claim: values are the runner, what it has in hand (JSON), SILENT_SECONDS, and
# the calls that it wants no further sagas for.
# Who is alive is an array, not a join: a row that another runner has claimed in the meantime is
# looked at again when it is locked, but only with what stands in the row itself.
# A row is its runner's only while that one has it in hand; this one tells what it has.
CLAIMABLE = """
    next_attempt_at <= now() AND CASE
        WHEN runner_id IS NULL THEN true
        WHEN runner_id = %s THEN saga_id NOT IN (SELECT json_array_elements_text(%s))
        ELSE runner_id <> ALL (ARRAY(
            SELECT id FROM saga_orchestrator_runner
            WHERE seen_at > now() - make_interval(secs => %s)))
    END AND current_step || ' ' || direction <> ALL (%s::text[])
"""

CLAIM = f"""
    WITH due AS (
        SELECT saga_id FROM saga_orchestrator_saga WHERE {CLAIMABLE}
        ORDER BY next_attempt_at LIMIT %s FOR NO KEY UPDATE SKIP LOCKED
    )
    UPDATE saga_orchestrator_saga AS saga
    SET runner_id = %s, version = mod(version, 2000000000) + 1, updated_at = clock_timestamp(),
        status = CASE status WHEN 'pending' THEN 'running' ELSE status END
    FROM due WHERE saga.saga_id = due.saga_id
    RETURNING {_READ}
"""

LOCK = f"""
    SELECT {_READ} FROM saga_orchestrator_saga AS saga
    WHERE saga_id = ANY(%s) ORDER BY saga_id FOR NO KEY UPDATE
"""

# The saga keeps its runner while that one goes on with it; else it is anybody's from
# `next_attempt_at`, which stays as it was while the saga goes on: the update can be heap-only.
# One that is asked by message is nobody's until the reply comes, or `seconds` have passed.
RECORD = """
    WITH move AS (
        SELECT * FROM json_to_recordset(%s::json) AS v (
            saga_id text, version int, status text, position smallint, current_step text,
            direction text, faults int, kept bool, asked bool, ended bool, parked bool,
            seconds float8, failure_step text, failure_code text, failure_detail text,
            failure_undone bool, reason text,
            step_position smallint, step_name text, step_status text, step_do int, step_undo int,
            step_error text, step_data jsonb, results jsonb, entered float8)
    ), moved AS (
        UPDATE saga_orchestrator_saga AS saga
        SET context = CASE WHEN move.results IS NULL THEN saga.context
                           ELSE jsonb_set(saga.context, '{results}', move.results) END,
            status = move.status, position = move.position, current_step = move.current_step,
            direction = move.direction, faults = move.faults,
            version = mod(saga.version, 2000000000) + 1,
            failure_step = coalesce(move.failure_step, ''),
            failure_code = coalesce(move.failure_code, ''),
            failure_detail = coalesce(move.failure_detail, ''),
            failure_undone = coalesce(move.failure_undone, false),
            runner_id = CASE WHEN move.kept THEN runner_id END,
            next_attempt_at = CASE WHEN move.ended OR move.parked THEN NULL
                                   WHEN move.seconds > 0
                                   THEN clock_timestamp() + make_interval(secs => move.seconds)
                                   ELSE least(next_attempt_at, now()) END,
            asked_at = CASE WHEN move.asked THEN clock_timestamp() END,
            parked_at = CASE WHEN move.parked THEN now() END,
            parked_reason = coalesce(move.reason, ''),
            updated_at = clock_timestamp(),
            finished_at = CASE WHEN move.ended THEN clock_timestamp() END
        FROM move WHERE saga.saga_id = move.saga_id AND saga.version = move.version
        RETURNING saga.saga_id, extract(epoch FROM updated_at)::float8 AS moved_at,
                  step_position, step_name, step_status, step_do, step_undo, step_error,
                  step_data, move.entered
    ), logged AS (
        INSERT INTO saga_orchestrator_sagastep AS step
               (saga_id, position, name, status, do_attempts, undo_attempts, error,
                response_data, started_at, finished_at, undone_at)
        SELECT saga_id, step_position, step_name,
               coalesce(step_status,
                        (SELECT status FROM saga_orchestrator_sagastep AS known
                         WHERE known.saga_id = moved.saga_id AND known.position = step_position),
                        'completed'),
               step_do, step_undo, step_error, coalesce(step_data, '{}'), to_timestamp(entered),
               CASE WHEN step_status IN ('completed', 'failed', 'skipped')
                    THEN clock_timestamp() END,
               CASE WHEN step_status = 'compensated' THEN clock_timestamp() END
        FROM moved WHERE step_name IS NOT NULL
        ON CONFLICT (saga_id, position) DO UPDATE
        SET status = excluded.status,
            do_attempts = step.do_attempts + excluded.do_attempts,
            undo_attempts = step.undo_attempts + excluded.undo_attempts,
            error = coalesce(nullif(excluded.error, ''), step.error),
            response_data = CASE WHEN excluded.response_data = '{}' THEN step.response_data
                                 ELSE excluded.response_data END,
            finished_at = coalesce(step.finished_at, excluded.finished_at),
            undone_at = coalesce(step.undone_at, excluded.undone_at)
    )
    SELECT saga_id, moved_at FROM moved
"""

PARK = """
    UPDATE saga_orchestrator_saga
    SET status = 'parked', parked_at = now(), parked_reason = %s, next_attempt_at = NULL,
        runner_id = NULL, version = mod(version, 2000000000) + 1, updated_at = clock_timestamp()
    WHERE saga_id = %s AND version = %s
"""

# Whatever stands in the row: from its last step with an undo backwards. The barriers know what of
# it has happened, and let nothing happen any more.
UNDO_ALL = """
    WITH defined AS (
        INSERT INTO saga_orchestrator_definition AS known (digest, name, steps)
        VALUES (%s, %s, %s::jsonb)
        ON CONFLICT (digest) DO UPDATE SET name = excluded.name, steps = excluded.steps
    )
    UPDATE saga_orchestrator_saga
    SET name = %s, definition_id = %s, context = %s::jsonb, position = %s, current_step = %s,
        direction = 'undo', status = 'compensating', faults = 0,
        failure_step = %s, failure_code = 'stopped', failure_detail = %s, failure_undone = false,
        stop_requested_at = now(), asked_at = NULL, deadline_at = now(), finished_at = NULL,
        parked_at = NULL, parked_reason = '', next_attempt_at = now(), runner_id = NULL,
        updated_at = now(), version = mod(version, 2000000000) + 1
    WHERE saga_id = %s AND status NOT IN ('compensated', 'failed')
    RETURNING saga_id
"""

REQUEST_STOP = """
    UPDATE saga_orchestrator_saga
    SET stop_requested_at = coalesce(stop_requested_at, now()),
        version = mod(version, 2000000000) + 1,
        next_attempt_at = least(next_attempt_at, now())
    WHERE saga_id = %s
"""

RELEASE = """
    UPDATE saga_orchestrator_saga SET runner_id = NULL, version = mod(version, 2000000000) + 1
    WHERE runner_id = %s AND next_attempt_at IS NOT NULL
"""

FORGET_RUNNER = """
    DELETE FROM saga_orchestrator_runner WHERE id = %s OR seen_at < now() - interval '1 hour'
"""
