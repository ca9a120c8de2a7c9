import { useEffect, useRef } from "preact/hooks";
import { keyList } from "./keys";
import { chooseShortcuts, helpOpen, shortcuts } from "./view";

export function Help() {
  const dialog = useRef<HTMLDialogElement>(null);
  const open = helpOpen.value;
  useEffect(() => {
    if (open) dialog.current?.showModal();
    else dialog.current?.close();
  }, [open]);
  return (
    <dialog ref={dialog} aria-labelledby="help-title" onClose={() => (helpOpen.value = false)}>
      <h2 id="help-title">Keys and words</h2>
      <dl class="keylist">
        {keyList.map(([key, words]) => (
          <div key={key}>
            <dt>
              <kbd>{key}</kbd>
            </dt>
            <dd>{words}</dd>
          </div>
        ))}
      </dl>
      <label class="check">
        <input type="checkbox" checked={shortcuts.value} onChange={(event) => chooseShortcuts(event.currentTarget.checked)} />
        Single-key shortcuts
      </label>
      <p>
        A <b>change</b> is any entry of the stream: edits, new pages, log entries, categorisations. <b>Edits</b> of a page are edits and its
        creation. Everything is counted by the time at which the change was made, not by when it arrived. Bots are accounts that say that they
        are.
      </p>
      <p>
        The <b>ledger</b> adds up where every received record went. Balanced means that none is missing and none was counted twice.
      </p>
      <button type="button" class="main" onClick={() => (helpOpen.value = false)}>Close</button>
    </dialog>
  );
}
