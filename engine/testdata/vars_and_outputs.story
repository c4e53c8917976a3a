vars x=inputs.n
outputs y=vars.x z=steps.a.n
read a with=vars.x
----
start n=3
  run_started
  vars_set
  -> execute a with=3 (sync before)
done a n=4
  a is ok {n: 4}
  run ends ok {y: 3, z: 4}
  finished ok
