"""Looking at a machine that stands still. Each function takes a `Target` or a `Context` and returns a `View`; nothing changes by
looking, and what cannot be looked at is a DebugError that says why.

    saved           Saved(context): a copy of the registers, for what changed since: `before=` below
    registers       registers(context, before), floats(context, before), one(context, name, before)
    csrs            csrs(context, pattern, before): "sstatus", "h*", groups m, s, vs, h, "" for the usual ones
    addresses       place, read(context, space, address, n), write(context, space, address, data): plain bytes
    memory          the same, and
                    examine(context, space, address, count, form, size),
                    find(context, space, address, length, data), owner(target, spa)
    code            disassemble(context, address, count), source(context, address or None, file, line, around)
    backtrace       backtrace(context, most); frames_of(context) for `finish` and the like
    translation     walk(context, address, access, space, size), address_map(context)
    machines        vms(target), vcpus(target), devices(context)
    interrupts      interrupts(context)
    queues          queues(context, device)
    frames          frames(target, width, height)
    recorder        ExitRecorder(target): attach it once; table(), log(count, vm)
    loops           stuck(context): a trap loop, a WFI that nothing ends, a spin; None where all is well
    why             why(context, hint): the last exit or fault in a paragraph

`space` is "v" (virtual, by the current translation), "g" (guest physical) or "h" (host physical).
"""
