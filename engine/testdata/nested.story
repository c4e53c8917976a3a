# A step runs another playbook: its steps are steps of the run below the step's path, with inputs, vars and ids
# of their own, and its outputs are the step's result. Both playbooks have a step a.
read a
play n in.dir=steps.a.v
  vars d=inputs.dir
  read a with=vars.d
  tx b with=steps.a.v
  outputs sum=steps.b.v first=steps.a.v
read z with=steps.n.sum
outputs sum=steps.n.sum own=steps.a.v
----
start
  run_started
  -> execute a (sync before)
done a v=1
  a is ok {v: 1}
  begun n {dir: 1} {d: 1}
  -> execute n/a with=1
done n/a v=2
  n/a is ok {v: 2}
  intended n/b attempt 1 token r1/n/b class transactional
  -> execute n/b with=2 (sync before)
done n/b v=3
  n/b is ok {v: 3}
  n is ok {first: 2, sum: 3}
  -> execute z with=3 (sync before)
state
  a ok
  n ok
  . n/a ok
  . n/b ok
  z pending
done z
  z is ok
  run ends ok {own: 1, sum: 3}
  finished ok
