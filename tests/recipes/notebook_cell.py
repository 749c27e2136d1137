"""A notebook: what a cell says, with its `await`s at the top level; Jupyter shows the last value as a table.

    pip install kallglot-async jupyterlab
    export KALLGLOT_API_KEY=sk_live_...

Paste the lines of `cell` into a cell without `async def` and `return`. A client may be kept for many cells.
"""

from kallglot_async import Analysis, KallglotClient


async def cell() -> Analysis:
    client = KallglotClient()
    analysis = await client.analyze("sess_01HXYZ123456789", analyses=["summary", "sentiment", "action_items"])
    await client.aclose()
    return analysis
