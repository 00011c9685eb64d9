-- Whose and which the next order is; before each of the scripts beside this. Ids grow with time, as ordermill's do; each client is a
-- writer of its own.
\set n :n + 1
\set high 112595046912000000 + :n * 16 + :client_id
\set low random(1, 9000000000000000000)
\set one random(1, 500)
\set two random(501, 1000)
\set customer random(1, 10000)
\set writer :client_id + :first_writer
\set seq1 :n * 5 + 1
\set seq2 :n * 5 + 2
\set seq3 :n * 5 + 3
\set seq4 :n * 5 + 4
\set seq5 :n * 5 + 5
\set low1 :low + 1
\set low2 :low + 2
\set low3 :low + 3
\set low4 :low + 4
