# Of a sensitive step neither the inputs of the playbook nor its outputs are recorded. AFTER a crash the steps that read are asked
# again, and both are made anew.
read pw sensitive
play n in.pw=steps.pw.v sensitive
  vars w=inputs.pw
  read a with=vars.w sensitive
  outputs key=steps.a.v
tx z with=steps.n.key
----
start
  run_started
  -> execute pw (sync before)
done pw v=7
  pw is ok
  begun n
  -> execute n/a with=7
done n/a v=8
  n/a is ok
  n is ok
  intended z attempt 1 token r1/z class transactional
  -> execute z with=8 (sync before)
crash
resume
  run_resumed
  -> ask again pw (sync before)
done pw v=7
  pw asked again is ok
  -> ask again n/a with=7
done n/a v=9
  n/a asked again is ok
  -> settle z epoch 1
settle z not-done
  settled z: not done
  intended z attempt 2 token r1/z class transactional
  -> execute z with=9 (sync before)
done z
  z is ok
  run ends ok
  finished ok
