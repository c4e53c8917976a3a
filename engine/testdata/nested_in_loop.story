# Each item of a loop runs the playbook anew. Outputs stand with their items.
play n each=x,y in.dir=item when=inputs.go
  read a with=inputs.dir
  play m in.of=steps.a.v
    tx b with=inputs.of
    outputs got=steps.b.v
  outputs got=steps.m.got
read z with=steps.n.items
----
start go=true
  run_started
  entered n
  items of n: x y
  begun n[x] {dir: x}
  -> execute n[x]/a with=x (sync before)
done n[x]/a v=1
  n[x]/a is ok {v: 1}
  begun n[x]/m {of: 1}
  intended n[x]/m/b attempt 1 token r1/n[x]/m/b class transactional
  -> execute n[x]/m/b with=1 (sync before)
done n[x]/m/b v=10
  n[x]/m/b is ok {v: 10}
  n[x]/m is ok {got: 10}
  n[x] is ok {got: 10}
  begun n[y] {dir: y}
  -> execute n[y]/a with=y (sync before)
crash
resume
  run_resumed
  -> check memory r1/n[x]/m/b (sync before)
forgot
  memory_checked
  -> execute n[y]/a with=y
done n[y]/a v=2
  n[y]/a is ok {v: 2}
  begun n[y]/m {of: 2}
  intended n[y]/m/b attempt 1 token r1/n[y]/m/b class transactional
  -> execute n[y]/m/b with=2 (sync before)
done n[y]/m/b v=20
  n[y]/m/b is ok {v: 20}
  n[y]/m is ok {got: 20}
  n[y] is ok {got: 20}
  -> execute z with=[{got: 10, key: x, state: ok}, {got: 20, key: y, state: ok}] (sync before)
state
  n ok
  . n[x] ok
  . . n[x]/a ok
  . . n[x]/m ok
  . . . n[x]/m/b ok
  . n[y] ok
  . . n[y]/a ok
  . . n[y]/m ok
  . . . n[y]/m/b ok
  z pending
