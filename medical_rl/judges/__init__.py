"""Judges: language models of OpenAI-compatible endpoints, within limits and a budget, or replayed.

    judge      `Judge`: what terms, generators and graders call; the one of a `conf/judge` file; many
               questions at once, until a cap is met or too many fail
    endpoint   which endpoint and model, with what parameters; a key is named, never held; what may be sent
    messages   the consistency question, what is judged fenced, and the strict parser of replies
    images     encoded images as data URIs, without metadata
    desk/      where all callers of a run meet: protocol, limits and budget, the desk in sqlite files
    requests/  how a granted question is sent: dispatcher, queue and call, the HTTP connection and retries

Nothing here imports torch, ray or verl. A judge that fails raises `JudgeFailed`: marked failed, never scored.
"""
