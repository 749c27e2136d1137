"""The recipe for arq, in an environment of its own: arq wants redis below 6, which nothing else here should have.

    .venv/bin/pip install --target build/arq arq
    PYTHONPATH=build/arq .venv/bin/python -m pytest --no-cov -n0 tests/recipes/test_arq.py

Without Redis: arq's own worker is made from the settings, and its hooks and job are called as it would.
"""

import pytest
from arq.worker import Retry, create_worker
from recipes import arq_worker

from kallglot_async.emulator import Fault

pytestmark = pytest.mark.looptime


@pytest.fixture
async def worker(kallglot_emulator, monkeypatch):
    monkeypatch.setenv("KALLGLOT_API_KEY", kallglot_emulator.api_key)
    monkeypatch.setenv("KALLGLOT_BASE_URL", kallglot_emulator.base_url)
    worker = create_worker(arq_worker.WorkerSettings, handle_signals=False)
    await worker.on_startup(worker.ctx)
    yield worker
    await worker.on_shutdown(worker.ctx)


async def test_a_job_analyzes_its_session(worker):
    """The worker knows the job by its name, and gives it more time than the wait takes."""
    job = worker.functions["analyze"]
    assert (job.timeout_s or worker.job_timeout_s) > 240.0
    result = await job.coroutine({**worker.ctx, "job_id": "job-1", "job_try": 1}, "sess_1")
    assert result["status"] == "complete"


async def test_a_job_that_ran_out_of_time_comes_again(kallglot_emulator, worker):
    """It is deferred; the next try has the same key and creates nothing more."""
    job = worker.functions["analyze"].coroutine
    kallglot_emulator.add_fault(Fault(kind="hang", operation="analyses.retrieve"))
    with pytest.raises(Retry) as caught:
        await job({**worker.ctx, "job_id": "job-1", "job_try": 2}, "sess_1")
    assert caught.value.defer_score == 60_000
    kallglot_emulator.clear_faults()
    assert (await job({**worker.ctx, "job_id": "job-1", "job_try": 3}, "sess_1"))["status"] == "complete"
    assert len(kallglot_emulator.analyses()) == 1
