"""The recipes in `recipes/` run as they are, with the real frameworks, against the emulator."""

import asyncio
import html
import json
import ssl
import time

import aiohttp
import pytest
import trustme
from recipes import aiohttp_app, notebook_cell, proxies_and_certificates, script
from support.lazily import lazily
from support.receiving import serving
from support.wire_faults import RawServer

from kallglot_async import KallglotClient, TLSError, TransportError
from kallglot_async.emulator import Emulator, Fault, Latency
from kallglot_async.webhooks import SIGNATURE_HEADER, sign

httpx, fastapi_app, taskiq_worker = lazily("httpx", "recipes.fastapi_app", "recipes.taskiq_worker")

SECRET = "whsec_recipes"
pytestmark = [pytest.mark.looptime, pytest.mark.kallglot_options(webhook_secret=SECRET)]


@pytest.fixture
def emulator(kallglot_emulator, monkeypatch):
    """An emulator that the environment names, as it would name the API; its analyses take 22 to 30 s."""
    monkeypatch.setenv("KALLGLOT_API_KEY", kallglot_emulator.api_key)
    monkeypatch.setenv("KALLGLOT_BASE_URL", kallglot_emulator.base_url)
    monkeypatch.setenv("KALLGLOT_WEBHOOK_SECRET", SECRET)
    return kallglot_emulator


def polls(emulator):
    return emulator.journal.requests(operation="analyses.retrieve")


class TestFastAPI:
    @pytest.fixture
    async def browser(self, emulator):
        app = fastapi_app.create_app()
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as browser,
        ):
            yield browser

    async def test_creates_and_waits(self, emulator, browser):
        """A POST creates, a GET holds the caller until the analysis has settled; the same key creates nothing more."""
        key = {"Idempotency-Key": "order-17"}
        created = [await browser.post("/sessions/sess_1/analyses", headers=key) for _ in range(2)]
        assert [response.status_code for response in created] == [202, 202]
        id = created[0].json()["id"]
        assert created[1].json()["id"] == id
        await asyncio.sleep(10.0)
        read = await browser.get(f"/analyses/{id}")
        assert read.status_code == 200
        assert read.json()["status"] == "complete"
        assert read.json()["results"]["summary"]["brief"]

    async def test_an_analysis_has_its_schema(self, emulator):
        """What the routes return is in OpenAPI, with its fields."""
        described = fastapi_app.create_app().openapi()
        for path, method, status in (
            ("/analyses/{id}", "get", "200"),
            ("/sessions/{session_id}/analyses", "post", "202"),
        ):
            answer = described["paths"][path][method]["responses"][status]["content"]["application/json"]["schema"]
            schema = described["components"]["schemas"][answer["$ref"].rpartition("/")[2]]
            assert {"id", "status", "results"} <= set(schema["properties"])

    async def test_a_webhook_ends_the_wait(self, emulator, browser):
        """The signed event makes the wait ask at once; an unsigned one is refused."""
        [id] = emulator.seed_analyses(1)
        await asyncio.sleep(emulator.analysis(id).ready_at - emulator.now - 3.0)
        reading = asyncio.create_task(browser.get(f"/analyses/{id}"))
        await asyncio.sleep(4.0)
        before = emulator.now
        body = json.dumps({"id": "evt_1", "type": "analysis.complete", "data": {"id": id}}).encode()
        assert (await browser.post("/webhooks/kallglot", content=body)).status_code == 401
        headers = {SIGNATURE_HEADER: sign(body, SECRET, now=time.time())}
        assert (await browser.post("/webhooks/kallglot", content=body, headers=headers)).status_code == 200
        assert (await reading).json()["status"] == "complete"
        assert emulator.now - before < 10.0  # the poll that the deadline asks for would come later

    async def test_errors_have_their_statuses(self, emulator, browser):
        """What is not there is 404, what takes too long is 504 and says when to come again."""
        assert (await browser.get("/analyses/ana_unknown")).status_code == 404
        assert (await browser.get("/analyses/favicon.ico")).status_code == 404  # no id can be that
        [id] = emulator.seed_analyses(1)
        emulator.add_fault(Fault(kind="hang", operation="analyses.retrieve", after=1))
        late = await browser.get(f"/analyses/{id}")
        assert (late.status_code, late.json()["error"]) == (504, "WaitTimeoutError")
        assert int(late.headers["Retry-After"]) >= 1

    async def test_a_used_up_limit_is_503_at_once(self, monkeypatch, emulator):
        """Nobody waits for the next window: the answer says when it opens."""
        async with Emulator(rate_limit=(2, 60.0), window="sliding", latency=Latency.immediate()) as narrow:
            monkeypatch.setenv("KALLGLOT_BASE_URL", narrow.base_url)
            app = fastapi_app.create_app()
            transport = httpx.ASGITransport(app)
            async with (
                app.router.lifespan_context(app),
                httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as browser,
            ):
                ids = narrow.seed_analyses(3)
                answers = [await browser.get(f"/analyses/{id}") for id in ids]
                assert [response.status_code for response in answers] == [200, 200, 503]
                assert answers[2].json()["error"] == "RateLimitedError"
                assert 1 <= int(answers[2].headers["Retry-After"]) <= 70
                assert narrow.now < 5.0


class TestAiohttp:
    @pytest.fixture
    async def origin(self, emulator):
        async with serving(aiohttp_app.create_app()) as origin:
            yield origin

    async def test_a_delivery_ends_the_wait(self, emulator, origin):
        """The emulator's own signed delivery brings the answer when it is there; after the first one polls are rare."""
        async with (
            KallglotClient(emulator.api_key, base_url=emulator.base_url) as client,
            aiohttp.ClientSession(origin) as browser,
        ):
            hook = f"{origin}/webhooks/kallglot"
            for number in (1, 2):
                before = len(polls(emulator))
                created = await client.analyses.create(f"sess_{number}", analyses=["summary"], webhook_url=hook)
                await asyncio.sleep(10.0)  # the caller comes a little later, and is kept for 25 s at most
                async with browser.get(f"/analyses/{created.id}") as response:
                    assert response.status == 200
                    assert (await response.json())["status"] == "complete"
                assert emulator.now - emulator.analysis(created.id).ready_at < 2.0
        assert [delivery.statuses for delivery in emulator.deliveries] == [(200,), (200,)]
        assert len(polls(emulator)) - before <= 3

    async def test_errors_have_their_statuses(self, emulator, origin):
        """What is not there is 404, what takes too long is 504."""
        async with aiohttp.ClientSession(origin) as browser:
            for id in ("ana_unknown", "favicon.ico"):  # no id can be the second
                async with browser.get(f"/analyses/{id}") as response:
                    assert response.status == 404
            [id] = emulator.seed_analyses(1)
            emulator.add_fault(Fault(kind="hang", operation="analyses.retrieve"))
            async with browser.get(f"/analyses/{id}") as response:
                assert response.status == 504


class TestTaskiq:
    @pytest.fixture
    async def broker(self, emulator):
        await taskiq_worker.broker.startup()
        yield taskiq_worker.broker
        await taskiq_worker.broker.shutdown()

    async def test_a_task_analyzes_its_session(self, emulator, broker):
        """The result is plain data, for any result backend."""
        task = await taskiq_worker.analyze.kiq("sess_1")
        result = await task.wait_result(check_interval=1.0, timeout=60.0)
        assert not result.is_err
        assert result.return_value["status"] == "complete"
        assert json.dumps(result.return_value["results"]["summary"])

    async def test_a_second_try_finds_the_analysis_of_the_first(self, emulator, broker):
        """A try that dies after the create is repeated by taskiq with the same id: nothing is created twice."""
        emulator.add_fault(Fault(kind="status", status=400, operation="analyses.retrieve", times=1))
        task = await taskiq_worker.analyze.kiq("sess_1")
        result = await task.wait_result(check_interval=1.0, timeout=120.0)
        assert result.return_value["status"] == "complete"
        creates = emulator.journal.requests(operation="analyses.create")
        assert [entry.is_replay for entry in creates] == [False, True]
        assert {entry.idempotency_key for entry in creates} == {task.task_id}
        assert len(emulator.analyses()) == 1


class TestScript:
    @pytest.mark.untraced
    async def test_goes_on_where_it_stopped(self, emulator, tmp_path, capsys):
        """What is final is written once; the rest is taken up by the next run, a line cut by a crash too."""
        ids, output = tmp_path / "ids.txt", tmp_path / "analyses.jsonl"
        known = emulator.seed_analyses(5)
        ids.write_text("\n".join([*known, "", "ana_unknown", "not/an/id", known[0]]))
        emulator.add_fault(Fault(kind="hang", operation="analyses.retrieve", id=known[4]))
        assert await script.main(ids, output) == 1
        assert f"{known[4]}: " in capsys.readouterr().err
        assert len(output.read_bytes().splitlines()) == 6

        whole = output.read_bytes().splitlines(keepends=True)
        output.write_bytes(b"".join(whole[:-1]) + whole[-1][:20])
        emulator.clear_faults()
        asked = len(polls(emulator))
        assert await script.main(ids, output) == 0
        lines = [json.loads(line) for line in output.read_bytes().splitlines()]
        assert sorted(line["id"] for line in lines) == sorted({*known, "ana_unknown", "not/an/id"})
        assert {line["id"] for line in lines if "analysis" in line} == set(known)
        assert len(polls(emulator)) - asked <= 2

        assert await script.main(ids, output) == 0
        assert len(polls(emulator)) - asked <= 2


async def test_a_notebook_cell_shows_a_table(emulator):
    """The last value of the cell has what Jupyter asks for."""
    analysis = await notebook_cell.cell()
    assert analysis.is_complete
    assert analysis.summary_text in html.unescape(analysis._repr_html_())


class TestProxiesAndCertificates:
    """Over real connections; the names of the environment are the server's, as in `emulator`."""

    @pytest.fixture(autouse=True)
    def _names(self, environment):
        environment.setenv("KALLGLOT_API_KEY", "sk_test_recipes")

    @pytest.fixture
    def authority(self, tmp_path):
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        mine = authority.issue_cert("worker.example")
        mine.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
        mine.cert_chain_pems[0].write_to_path(str(tmp_path / "certificate.pem"))
        return authority

    @pytest.fixture
    def server_context(self, authority):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        return context

    @pytest.mark.parametrize("is_named", [False, True], ids=["environment", "argument"])
    async def test_a_proxy_carries_the_requests(self, environment, is_named):
        """By the environment or by name, the proxy sees them and the server nobody else."""
        async with RawServer() as proxy, RawServer() as server:
            environment.setenv("KALLGLOT_BASE_URL", server.base_url)
            environment.setenv("HTTP_PROXY", proxy.origin)
            recipe = proxies_and_certificates
            made = recipe.through_a_proxy(proxy.origin) if is_named else recipe.through_the_environments_proxy()
            async with made as client:
                assert (await client.analyses.retrieve("ana_1")).id == "ana_1"
            assert (len(proxy.requests), server.connections) == (1, 0)

    async def test_a_private_authority_is_trusted_by_who_names_it(self, environment, tmp_path, server_context):
        """With it the answer comes, without it there is a `TLSError`."""
        async with RawServer(tls=server_context) as server:
            environment.setenv("KALLGLOT_BASE_URL", server.base_url)
            async with proxies_and_certificates.trusting(tmp_path / "ca.pem") as client:
                assert (await client.analyses.retrieve("ana_1")).id == "ana_1"
            async with KallglotClient() as stranger:
                with pytest.raises(TLSError):
                    await stranger.analyses.retrieve("ana_1")

    async def test_a_certificate_of_ones_own_is_shown(self, environment, tmp_path, authority, server_context):
        """A server that asks for one answers who has it, and nobody else."""
        server_context.verify_mode = ssl.CERT_REQUIRED
        authority.configure_trust(server_context)
        async with RawServer(tls=server_context) as server:
            environment.setenv("KALLGLOT_BASE_URL", server.base_url)
            files = [tmp_path / name for name in ("ca.pem", "certificate.pem", "key.pem")]
            async with proxies_and_certificates.with_a_certificate(*files) as client:
                assert (await client.analyses.retrieve("ana_1")).id == "ana_1"
            async with proxies_and_certificates.trusting(files[0]) as nobody:
                with pytest.raises(TransportError):
                    await nobody.with_options(max_attempts=1).analyses.retrieve("ana_1")
