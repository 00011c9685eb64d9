#!/usr/bin/env python3
"""Explicit-state model of the fence (ARCHITECTURE.md): unknown COMMIT, hand-over, take-over, publishing, failovers that lose commits.

usage: tests/model/fence.py [name-prefix ...]     (no argument: every case; exit 1 if a case does not end as expected)

2 nodes, 1 shard, sagas created(1) -> advanced(2) -> settled(3), one event each. A sleeping node = one that takes no step while
others do (every step is interleaved); taking the lease of a node that runs costs a fault. F = faults (crash, connection lost, lease
lost while running), H = hand-overs. A transaction is a backend of its own and may outlive connection and node, then commit or not.
Folded, as each is observable only by waiting or by a repeat: the time a backend holds its writer's row (match, then commit, are one
step); publishing a second time what Kafka has (a publisher that lags or died before moving the cursor;
assumes that published_seq only grows); a backend that cannot match.
S1 a 202 implies the order is stored. S2 nothing commits by a dead writer or one that has not the shard, nor a step twice or skipped.
S3 first publications are in order per order.
B = failovers that lose commits: at any moment a standby gets nothing more; at any later moment it takes over. All connections are lost,
backends of the old primary are gone, and writers, log, cursor and orders are as the standby has them. A node that finds its writer's row
behind what it has answered (or gone) names the accepted orders that are not stored any more, and starts anew. What topics hold of lost
commits is passed over by whoever reads them (each message says whose log it rests on), so it counts as not said. S1 then reads: a 202
implies that the order is stored, or that the node that gave it names it, unless that node crashes first.
L from every reachable state, without more faults (a node restarts only if both are
down), a state is reachable in which all accepted orders are settled and every event is in Kafka.
"""
import sys, time
from collections import deque

FIRST_DRAFT = dict(
    unknown='nomatch=committed',  # or 'read last_seq': committed iff it is the value this transaction would have set
    queue='kept',                 # queued writes at hand-over: 'kept' | 'closed' (journal takes none once it is begun)
    shardcheck=False,             # True: every transaction also requires shards.writer = me (in the database)
    handover='assign',            # 'assign' (old owner names the new) | 'release' (then taken by a transaction of the taker) | 'steal'
    gate='shard row',             # or 'log': the taking transaction's place in the taker's log holds (after_writer, after_seq)
    skip=False,                   # True: the cursor passes numbers that have no event
    refused='rolls back',         # a TAKE that gets nothing: 'rolls back' | 'moves last_seq' (commits all the same, so its number is used up)
    ids='new',                    # of writers, after a failover: 'new' | 'again' (as the standby counts them)
    looks=True,                   # an idle node looks whether its writer has gone back
    kill='owners',                # which expired writers are set not alive: 'owners' of shards | 'all'
)
FIXED = dict(FIRST_DRAFT, unknown='read last_seq', queue='closed', handover='release', gate='log', skip=True, kill='all', refused='moves last_seq')

class Bad(Exception):
    pass

def put(t, i, v):
    return t[:i] + (v,) + t[i + 1:]

# node: (up, writer, known_last, owns, mem, queue, tx, conn)   conn: None (lost: unknown) sent ok nomatch refused
# db: (writers, shard, steps); writer: (alive, last, published, log after published); shard: (writer | -1, after_writer, after_seq)
UP, W, KNOWN, OWNS, MEM, Q, TX, CONN, ANS = range(9)    # ANS: what this process has answered with 202

def initial(orders, F, H, B):
    z, N = (0,) * orders, frozenset()
    return (((True, 0, 0, True, z, None, None, None, N), (True, 1, 0, False, z, None, None, None, N)),
            (((True, 0, 0, ()), (True, 0, 0, ())), (0, -1, 0), z), frozenset(), (), frozenset(), F, H, B, None)

GONE = (False, -1, 0, ())          # the row of a writer that the standby has not got

def matches(db, w, frm):
    return w < len(db[0]) and db[0][w][0] and db[0][w][1] == frm

def commit(db, w, tx, cfg):
    """The transaction holds its writer's row. Returns (db, reply)."""
    ws, sh, st = db
    alive, last, pub, log = ws[w]
    kind, entry = tx[0], ('-',)
    if kind == 'w':
        o, step = tx[1:]
        if sh[0] != w:
            if cfg['shardcheck']:
                return db, 'refused'
            raise Bad(f'S2: writer {w} commits order {o} step {step}, but the shard belongs to writer {sh[0]}')
        if st[o] != step - 1:
            raise Bad(f'S2: order {o} step {step} written over step {st[o]}')
        st, entry = put(st, o, step), ('e', o, step)
    elif kind == 'g':                                   # graceful, by the old owner
        if sh[0] != w:
            return db, 'refused'
        sh = (tx[1], w, last + 1)
    else:                                               # 't': take a free shard, or a dead writer's (or steal a live one's)
        old = sh[0]
        if old == w or (old >= 0 and ws[old][0] and cfg['handover'] != 'steal'):
            if cfg['refused'] == 'rolls back':
                return db, 'refused'
        else:
            after = (old, ws[old][1]) if old >= 0 else sh[1:]
            sh, entry = (w,) + after, ('m',) + after
    return (put(ws, w, (alive, last + 1, pub, log + (entry,))), sh, st), 'ok'

def next_pub(db, v, cfg):
    """(seq, event | None) that the publisher of v's log may do now, or None."""
    ws, sh, _ = db
    _, _, pub, log = ws[v]
    for seq, e in enumerate(log, pub + 1):
        if e[0] != 'e':
            if cfg['gate'] == 'log' and e[0] == 'm' and e[1] >= 0 and ws[e[1]][2] < e[2]:
                return None
            if cfg['skip']:
                return seq, None
            continue
        if cfg['gate'] == 'shard row' and sh[0] == v and sh[1] >= 0 and ws[sh[1]][2] < sh[2]:
            return None
        return seq, e[1:]
    return None

def advance(db, v, seq):
    a, last, p, log = db[0][v]
    return (put(db[0], v, (a, last, seq, log[seq - p:])),) + db[1:]

def steps(s, cfg):
    """Yields (label, healthy, next state)."""
    nodes, db, orph, topic, acc, F, H, B, std = s
    ws, sh, st = db
    running = {n[W] for n in nodes if n[UP]}

    def mk(i=None, n=None, **k):
        d = k.get('db', db)
        if cfg['skip']:                                 # done at once: only makes gates open earlier
            for v in range(len(d[0])):
                while (nx := next_pub(d, v, cfg)) and nx[1] is None:
                    d = advance(d, v, nx[0])
        orp = frozenset(b for b in k.get('orph', orph) if matches(d, b[0], b[1]))
        return (put(nodes, i, n) if n else nodes, d, orp, k.get('topic', topic),
                k.get('acc', acc), F - k.get('f', 0), H - k.get('h', 0), k.get('B', B), k.get('std', std))

    def void(i, n, why):
        m, d = (True, len(ws), 0, False, (0,) * len(st), None, None, None, frozenset()), (ws + ((True, 0, 0, ()),), sh, st)
        named = frozenset(o for o in acc & n[ANS] if not st[o])
        return f'node {i} {why}, names {sorted(named)}, starts as writer {m[W]}', True, mk(i, m, db=d, acc=acc - named)

    if B and std is None:
        yield 'STANDBY gets nothing more', False, mk(std=db)
    if std is not None:
        kept = std[0] + ((GONE,) * (len(ws) - len(std[0])) if cfg['ids'] == 'new' else ())
        d = (kept,) + std[1:]
        told = tuple(e for e in topic if e[1] <= d[2][e[0]])
        cut = tuple(put(n, CONN, None) if n[CONN] else n for n in nodes)
        # Who has answered and is down names nothing.
        left = frozenset(o for o in acc if d[2][o] or any(n[UP] and o in n[ANS] for n in nodes))
        t = mk(db=d, topic=told, acc=left, B=B - 1, std=None)
        yield 'STANDBY takes over', False, (cut,) + t[1:2] + (frozenset(),) + t[3:]
        late = tuple(n if n[CONN] == 'ok' else c for n, c in zip(nodes, cut))
        if late != cut:
            yield 'STANDBY takes over, answers are still on their way', False, (late,) + t[1:2] + (frozenset(),) + t[3:]
    for b in orph:                                      # backends whose node is gone or was cut off
        w, frm, tx = b
        if matches(db, w, frm):
            yield f'orphan backend of writer {w} commits {tx}', True, mk(orph=orph - {b}, db=commit(db, w, tx, cfg)[0])
        yield f'orphan backend of writer {w} gives up {tx}', True, mk(orph=orph - {b})

    for i, n in enumerate(nodes):
        up, w, known, owns, mem, q, tx, conn = n[:8]

        def fresh():
            return (True, len(ws), 0, False, (0,) * len(st), None, None, None, n[ANS]), \
                (ws + ((True, 0, 0, ()),), sh, st)
        if not up:
            m, d = fresh()
            yield f'node {i} starts as writer {m[W]}', not nodes[1 - i][UP], mk(i, m, db=d)
            continue
        orphan = orph | {(w, known, tx)} if conn == 'sent' and matches(db, w, known) else orph
        if F:
            yield f'CRASH node {i}', False, mk(i, (False,) + n[1:3] + (False, (0,) * len(st), None, None, None, frozenset()), orph=orphan, f=1,
                                              acc=frozenset(o for o in acc if st[o] or nodes[1 - i][UP] and o in nodes[1 - i][ANS]))
            if conn:
                yield f'CONNECTION of node {i} lost at {conn}', False, mk(i, put(n, CONN, None), orph=orphan, f=1)

        def send(t, qq=q):
            return n[:Q] + (qq, t, 'sent') + n[ANS:]
        if tx is None:
            if q:
                yield f'node {i} sends queued {q}', True, mk(i, send(q, None))
            elif owns:
                for o in range(len(st)):
                    if mem[o] < cfg['steps']:
                        yield f'node {i} sends order {o} step {mem[o] + 1}', True, mk(i, send(('w', o, mem[o] + 1)))
                other = nodes[1 - i]
                if H and cfg['handover'] != 'steal' and other[UP]:
                    to = other[W] if cfg['handover'] == 'assign' else -1
                    yield f'node {i} sends HAND-OVER of the shard (to {to})', False, mk(i, send(('g', to)), h=1)
            else:
                if w >= len(ws) or ws[w][1] < 0:
                    pass
                elif sh[0] == w:
                    yield f'node {i} finds the shard its own, loads', True, mk(i, n[:OWNS] + (True, st) + n[Q:])
                elif sh[0] < 0 or not ws[sh[0]][0]:
                    yield f'node {i} sends TAKE of the shard', True, mk(i, send(('t',)))
                elif H and cfg['handover'] == 'steal':
                    yield f'node {i} sends TAKE of the shard from a live writer', False, mk(i, send(('t',)), h=1)
        else:
            if q is None and owns and not (tx[0] == 'g' and cfg['queue'] == 'closed'):
                for o in range(len(st)):
                    if mem[o] < cfg['steps'] and not (tx[0] == 'w' and tx[1] == o):
                        yield f'node {i} queues order {o} step {mem[o] + 1}', True, mk(i, put(n, Q, ('w', o, mem[o] + 1)))
            if conn is None:
                yield f'node {i} repeats {tx} from {known}', True, mk(i, put(n, CONN, 'sent'))
            elif conn == 'sent':
                d, reply = commit(db, w, tx, cfg) if matches(db, w, known) else (db, 'nomatch')
                yield f'node {i}: {tx} {reply == "ok" and "commits" or reply}', True, mk(i, put(n, CONN, reply), db=d)
            elif conn == 'nomatch' and (w >= len(ws) or ws[w][1] < known):
                yield void(i, n, 'finds its writer behind')
            elif conn in ('ok', 'nomatch', 'refused'):
                done = conn == 'ok' or (conn == 'nomatch' and (
                    cfg['unknown'] == 'nomatch=committed' or ws[w][1] == known + 1))
                if done:
                    a, m = acc, n[:KNOWN] + (known + 1, owns, mem, q, None, None) + n[ANS:]
                    if tx[0] == 'w':
                        m = put(m, MEM, put(mem, tx[1], tx[2]))
                        if tx[2] == 1:
                            a, m = acc | {tx[1]}, put(m, ANS, m[ANS] | {tx[1]})
                    else:
                        m = m[:OWNS] + ((False, (0,) * len(st)) if tx[0] == 'g' or sh[0] != w else (True, st)) + m[Q:]
                    yield f'node {i} learns {tx} committed' + (' (202)' if a != acc else ''), True, mk(i, m, acc=a)
                elif conn == 'refused':                 # rolled back whole: drop the actors, look again
                    yield f'node {i} learns {tx} refused', True, mk(i, n[:OWNS] + (False, (0,) * len(st), None, None, None) + n[ANS:])
                else:
                    m, d = fresh()
                    yield f'node {i} learns it is fenced, starts as writer {m[W]}', True, mk(i, m, db=d)
        if w >= len(ws) or ws[w][1] < known:
            if tx is None and not q and cfg['looks']:
                yield void(i, n, 'looks, finds its writer behind')
            if w >= len(ws):
                continue
        elif tx is None and not ws[w][0] and not q:       # the heartbeat finds the fence, too
            m, d = fresh()
            yield f'node {i} idle, finds itself fenced, starts as writer {m[W]}', True, mk(i, m, db=d)

        for v in range(len(ws)):                        # lease ended: set not alive (waits for the row)
            if v != w and ws[v][0] and ws[w][0] and ws[w][1] >= 0 and (cfg['kill'] == 'all' or sh[0] == v):
                d = (put(ws, v, put(ws[v], 0, False)),) + db[1:]
                if v not in running:
                    yield f'node {i} sets writer {v} not alive', True, mk(db=d)
                elif F:
                    yield f'node {i} sets SLEEPING writer {v} not alive', False, mk(db=d, f=1)
            nx = next_pub(db, v, cfg) if v == w or not ws[v][0] else None   # publisher: own log, or a dead writer's
            if nx and (nx[1] is None or nx[1] in topic):
                yield f'node {i} moves cursor of {v} to {nx[0]}', True, mk(db=advance(db, v, nx[0]))
            elif nx:
                e = nx[1]
                if sum(x[0] == e[0] for x in topic) != e[1] - 1:
                    raise Bad(f'S3: node {i} publishes order {e[0]} step {e[1]} of writer {v} first; Kafka holds {topic}')
                yield f'node {i} publishes {v}/{nx[0]}={e}', True, mk(topic=tuple(sorted(topic + (e,))))
    for o in acc:
        if st[o] < 1 and not any(n[UP] and o in n[ANS] for n in nodes):
            raise Bad(f'S1: order {o} was answered 202 and is not stored')

def goal(s, cfg):
    db, topic, acc = s[1], s[3], s[4]
    return all(db[2][o] == cfg['steps'] for o in acc) and len(topic) == sum(db[2])

def check(cfg, orders, nsteps, F, H, B=0, limit=3_000_000):
    cfg = dict(cfg, steps=nsteps)
    s0 = initial(orders, F, H, B)
    seen, parent, depth, pred = {s0: 0}, [(-1, '')], [0], [[]]
    goals, todo = [], deque([s0])

    def trace(k, last):
        out = [last]
        while k > 0:
            out.append(parent[k][1])
            k = parent[k][0]
        return out[::-1]
    while todo:
        s = todo.popleft()
        k = seen[s]
        if goal(s, cfg):
            goals.append(k)
        try:
            for label, healthy, t in steps(s, cfg):
                j = seen.get(t)
                if j is None:
                    j = seen[t] = len(parent)
                    parent.append((k, label)), depth.append(depth[k] + 1), pred.append([])
                    todo.append(t)
                if healthy:
                    pred[j].append(k)
        except Bad as e:
            return str(e), trace(k, f'==> {e}'), len(seen), depth[k] + 1
        if len(seen) > limit:
            return 'state limit', [], len(seen), depth[k]
    ok, stack = bytearray(len(parent)), list(goals)
    while stack:
        k = stack.pop()
        if not ok[k]:
            ok[k] = 1
            stack.extend(pred[k])
    for k in range(len(parent)):                        # BFS order: the first is the shallowest
        if not ok[k]:
            return 'L', trace(k, '==> L: from here some accepted order or event can never finish'), len(seen), depth[k]
    return None, [], len(seen), depth[-1]

CASES = [  # name, changes to FIXED (None: first draft), orders, steps, F, H, expected
    ('as-written', None, 1, 3, 2, 2, 'any'),
    ('fixed-1', {}, 1, 2, 2, 1, None),
    ('fixed-2', {}, 1, 2, 1, 2, None),
    ('fixed-3', {}, 2, 2, 1, 0, None),
    ('fixed-4', {}, 1, 3, 1, 1, None),
    ('fixed-5', {}, 1, 2, 3, 0, None),
    ('fixed-6', {}, 2, 2, 0, 2, None),
    ('no: no match taken as committed', dict(unknown='nomatch=committed'), 1, 3, 2, 0, 'S1'),
    ('no: queue kept at hand-over', dict(queue='kept'), 1, 3, 0, 1, 'S2'),
    ('no: taker takes from a live writer', dict(handover='steal'), 1, 3, 0, 1, 'S2'),
    ('no: gate in the shard row', dict(gate='shard row'), 1, 2, 1, 1, 'S3'),
    ('no: gate in the shard row, assign', dict(gate='shard row', handover='assign'), 1, 3, 1, 1, 'S3'),
    ('no: gate in the log, but assign (taker writes no marker)', dict(handover='assign'), 1, 3, 0, 1, 'S3'),
    ('no: cursor stops at eventless numbers', dict(gate='shard row', skip=False), 1, 3, 0, 1, 'L'),
    ('no: only owners of shards are set not alive', dict(kill='owners'), 1, 2, 1, 1, 'L'),
    ('no: a repeat refused for its content gives its number back', dict(refused='rolls back'), 1, 1, 2, 1, 'any'),
    ('yes: queue kept but shard checked in every tx', dict(queue='kept', shardcheck=True), 1, 2, 1, 1, None),
]

CASES = [case[:6] + (0,) + case[6:] for case in CASES] + [  # name, changes, orders, steps, F, H, B, expected
    ('lost-1', {}, 1, 2, 0, 0, 1, None),
    ('lost-2', {}, 1, 2, 1, 0, 1, None),
    ('lost-3', {}, 1, 1, 0, 1, 1, None),
    ('lost-4', {}, 2, 1, 0, 0, 1, None),
    ('lost-5', {}, 1, 1, 0, 0, 2, None),
    ('no: an idle node does not look', dict(looks=False), 1, 1, 0, 0, 1, 'L'),
    ('no: ids of lost writers are given again', dict(ids='again'), 1, 2, 2, 0, 1, 'any'),
]

if __name__ == '__main__':
    bad = 0
    for name, change, orders, nsteps, F, H, B, want in CASES:
        if sys.argv[1:] and not any(name.startswith(a) for a in sys.argv[1:]):
            continue
        t0 = time.time()
        got, tr, count, d = check(FIRST_DRAFT if change is None else dict(FIXED, **change), orders, nsteps, F, H, B)
        fine = got is None if want is None else bool(got) and got != 'state limit' and (want == 'any' or got.startswith(want))
        bad += not fine
        print(f'{"ok  " if fine else "FAIL"} {name}: orders={orders} steps={nsteps} F={F} H={H} B={B}: {got or "all checks pass"}; '
              f'{count} states, depth {d}, {time.time() - t0:.1f}s', flush=True)
        for k, line in enumerate(tr, 1):
            print(f'       {k:2} {line}')
    sys.exit(bad > 0)
