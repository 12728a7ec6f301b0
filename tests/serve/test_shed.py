from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from adaspring.serve.shed import BURST_S, Shedder


@given(
    st.floats(0.05, 1.0),
    st.lists(st.tuples(st.floats(0.0, 0.5), st.floats(1e-5, 0.05)), min_size=1, max_size=60),
)
def test_compute_let_in_stays_within_its_share(share: float, works: list[tuple[float, float]]) -> None:
    """In any stretch of time, no more compute gets in than the share of it and one burst or one request."""
    shedder = Shedder(share, 0.0)
    now_s = let_in_s = 0.0
    for pause_s, cost_s in works:
        now_s += pause_s
        if not shedder.wait_ms(cost_s, now_s):
            let_in_s += cost_s
        assert let_in_s <= share * (now_s + BURST_S) + 0.05 + 1e-9


@given(st.floats(0.05, 1.0), st.floats(1e-4, 1.0))
def test_the_hint_is_kept(share: float, cost_s: float) -> None:
    """Whoever is turned away and comes again when told gets in, however long it computes."""
    shedder = Shedder(share, 0.0)
    now_s = 0.0
    for _ in range(50):
        wait_ms = shedder.wait_ms(cost_s, now_s)
        if wait_ms:
            now_s += wait_ms * 1e-3 + 1e-9
            assert shedder.wait_ms(cost_s, now_s) == 0
