"""Looking at a machine that stands still. Each function takes a `Target` or a `Context` and returns a `View`; nothing changes by
looking, and what cannot be looked at is a DebugError that says why.

    saved           save(context) -> Saved: a copy of the registers, for what changed since (`before=` below); CSRs and their
                    fields computed from it, on the hart and off it
    registers       registers(context, before), floats(context, before), one(context, name, before)
    csrs            csrs(context, pattern, before): "sstatus", "h*", groups m, s, vs, h, "" for the usual ones
    addresses       place(context, space, address), read(context, space, address, n), write(context, space, address, data)
    memory          examine(context, space, address, count, form, size), find(context, space, address, length, data),
                    owner(target, spa)
    code            disassemble(context, address, count, space), source(context, address, file=, line=, around=)
    backtrace       backtrace(context, most); frames_of(context) for `finish` and the like
    translation     walk(context, address, access, space, size), address_map(context)
    machines        vms(target), vcpus(target), devices(context)
    interrupts      interrupts(context)
    queues          queues(context, device, chains)
    frames          frames(target, dirty, width, most_lines)
    exits           exits(target), log(target, count, context)
    loops           stuck(context): a trap loop, a WFI that nothing ends, a spin; None where all is well
    why             why(context, hint): the last exit or fault in a paragraph; hints "exit", "fault", "m", "s", "vs"

`space` is "v" (virtual, by the current translation), "g" (guest physical) or "h" (host physical).
"""
