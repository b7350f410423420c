"""Judges: language models behind any OpenAI-compatible endpoint, asked once, within limits and a budget, or replayed.

    endpoint    which endpoint and model, with what parameters; a key is named, never held
    restricted  rows that may not leave are refused before anything is sent
    images      encoded images as data URIs, without metadata
    messages    the consistency question; what is under judgement is fenced, so that it cannot give orders
    prompts     the judge's instructions and worked examples
    verdict     what an answer must look like, and the strict parser
    limits      the desk's protocol: wishes and settlements in, grants out
    admission   whether one more call may go, as a pure rule over counts
    sqlite_desk the desk for the processes of one host: `ledger` (leases, counts) and `cache` (answers) on a `database` each
    connection  one HTTP attempt through the `openai` client, over `lean_http`
    retry       which failures are tried again, and when
    pump        between the askers of an event loop and the desk: `queues` before a `call`, answers after it
    client      `Judge`: what reward terms, generators and graders call
    build       a `Judge` of a `conf/judge` file
    named       its messages in the words of generators and labellers

Nothing here imports torch, ray or verl. A judge that fails raises `JudgeFailed`: marked failed, never scored.
"""
