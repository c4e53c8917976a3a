# Inside an iteration, steps see each other.
block g each=inputs.names
  read q with=item
  tx w with=steps.q.n
----
start names=x,y
  run_started
  items of g: x y
  -> execute g[x]/q with=x (sync before)
done g[x]/q n=1
  g[x]/q is ok {n: 1}
  intended g[x]/w attempt 1 token r1/g[x]/w class transactional
  -> execute g[x]/w with=1 (sync before)
done g[x]/w
  g[x]/w is ok
  -> execute g[y]/q with=y (sync before)
done g[y]/q n=2
  g[y]/q is ok {n: 2}
  intended g[y]/w attempt 1 token r1/g[y]/w class transactional
  -> execute g[y]/w with=2 (sync before)
done g[y]/w
  g[y]/w is ok
  run ends ok
  finished ok
