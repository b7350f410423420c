"""Judges: language models of OpenAI-compatible endpoints, within limits and a budget, or replayed.

    judge        `Judge`: what reward terms, generators and graders call
    build        a `Judge` of a `conf/judge` file, and its messages in the words of generators and labellers
    endpoint     which endpoint and model, with what parameters; a key is named, never held; what may be sent
                 there
    consistency  the consistency question; what is under judgement is fenced, so that it cannot give orders
    verdict      what an answer must look like, and the strict parser
    images       encoded images as data URIs, without metadata
    ask_all      many questions at once, until a cap is met or too many fail
    desk/        where all callers of a run meet: protocol, limits, budget, ledger, cache, and the desk in
                 sqlite files
    requests/    how a granted question is sent: queue, dispatcher, one call, retries, the HTTP connection

Nothing here imports torch, ray or verl. A judge that fails raises `JudgeFailed`: marked failed, never scored.
"""
